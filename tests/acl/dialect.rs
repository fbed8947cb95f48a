//! Policy files, and whether Headscale reads them. `tests/headscale` asks a real Headscale about the same list.

/// A part of a policy file, and whether Headscale 0.29 accepts the file. The file defines the user `anna@` and the tags
/// `tag:a` and `tag:b`, and has a grant unless the part has one, or `acls`.
pub(crate) const PARTS: [(&str, bool); 37] = [
    // Users, groups and hosts.
    (r#""groups": {"group:g": ["anna@", "bob@example.com"]}"#, true),
    (r#""groups": {"group:g": ["anna"]}"#, false),
    (r#""grants": [{"src": ["anna"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, false),
    (r#""grants": [{"src": ["nowhere@"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, true),
    (r#""hosts": {"h": "100.64.0.9"}, "grants": [{"src": ["h"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, true),
    (r#""grants": [{"src": ["100.64.0.1-100.64.0.9"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, false),
    (r#""grants": [{"src": ["tag:c"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, false),
    // Grants.
    (r#""grants": []"#, true),
    (r#""acls": []"#, true),
    (
        r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"], "app": {"a.example/cap/x": [{}]}}]"#,
        true,
    ),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"], "via": ["tag:b"]}]"#, true),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"], "srcPosture": []}]"#, false),
    (r#""grants": [{"src": ["tag:a"], "dst": ["svc:x"], "ip": ["tcp:1"]}]"#, false),
    (r#""grants": [{"src": ["ipset:x"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, false),
    // Autogroups.
    (r#""grants": [{"src": ["autogroup:danger-all"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, true),
    (r#""grants": [{"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["tcp:1"]}]"#, true),
    (r#""grants": [{"src": ["autogroup:members"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, false),
    (r#""grants": [{"src": ["autogroup:admin"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"#, false),
    (r#""autoApprovers": {"exitNode": ["anna@", "tag:a"]}"#, true),
    (r#""autoApprovers": {"exitNode": ["autogroup:member"]}"#, false),
    (r#""autoApprovers": {"services": {"svc:x": ["tag:a"]}}"#, false),
    // Comments in keys.
    (r##""acls": [{"#why": "x", "action": "accept", "src": ["tag:a"], "dst": ["tag:b:1"]}]"##, true),
    (r##""grants": [{"#why": "x", "src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"]}]"##, false),
    (r##""#why": "x""##, false),
    // Older names of keys.
    (r#""acls": [{"action": "accept", "users": ["tag:a"], "ports": ["tag:b:1"]}]"#, false),
    (r#""tests": [{"user": "anna@", "deny": ["tag:b:1"]}]"#, false),
    // Sections.
    (r#""randomizeClientPort": true"#, true),
    (r#""derpMap": {}"#, false),
    (r#""disableIPv4": true"#, false),
    (r#""OneCGNATRoute": """#, false),
    (r#""ipsets": {}"#, false),
    (r#""postures": {}"#, false),
    (r#""whatever": 1"#, false),
    (r#""nodeAttrs": [{"target": ["tag:a"], "attr": ["cache-network-maps"]}]"#, true),
    (r#""nodeAttrs": [{"target": ["autogroup:danger-all"], "attr": ["cache-network-maps"]}]"#, false),
    (r#""nodeAttrs": [{"target": ["tag:a"], "ipPool": ["100.64.1.0/24"]}]"#, false),
    // Tests: of TCP, UDP and SCTP only.
    (r#""tests": [{"src": "anna@", "proto": "icmp", "deny": ["tag:b:1"]}]"#, false),
];

/// The whole file around a part.
pub(crate) fn file(part: &str) -> String {
    let has_rules = part.contains("\"grants\"") || part.contains("\"acls\"");
    let rules =
        if has_rules { "" } else { r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"]}], "# };
    format!(r#"{{"tagOwners": {{"tag:a": ["anna@"], "tag:b": ["tag:a"]}}, {rules}{part}}}"#)
}
