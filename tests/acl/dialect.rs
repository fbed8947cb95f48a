//! Policy files, and whether Headscale reads them. `tests/headscale` asks a real Headscale about the same list.

/// A part of a policy file, and whether Headscale 0.29 accepts the file. The file defines the user `anna@` and the tags
/// `tag:a` and `tag:b`, and has a grant unless the part has one, or `acls`.
pub(crate) const PARTS: [(&str, bool); 112] = [
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
    // Protocols: in grants, in lower case only.
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["6:1"]}]"#, true),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["TCP:1"]}]"#, false),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["*:1"]}]"#, false),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["0:1"]}]"#, false),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["06:1"]}]"#, false),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["icmp:*"]}]"#, true),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["icmpv6:*"]}]"#, false),
    (r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tsmp:*"]}]"#, false),
    (r#""acls": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b:1"], "proto": "TCP"}]"#, true),
    (r#""acls": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b:1"], "proto": "0"}]"#, false),
    (r#""acls": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b:*"], "proto": "dccp"}]"#, false),
    (r#""tests": [{"src": "anna@", "proto": "0", "deny": ["tag:b:1"]}]"#, false),
    // Destinations of acls.
    (r#""acls": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b:1,2-3"]}]"#, true),
    (r#""acls": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b:1,*"]}]"#, false),
    (r#""acls": [{"action": "accept", "src": ["tag:a"], "dst": ["[fd7a::1]:1"]}]"#, true),
    (r#""acls": [{"action": "accept", "src": ["tag:a"], "dst": ["[tag:b]:1"]}]"#, false),
    // Capabilities of tailscale.com.
    (
        r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"], "app": {"tailscale.com/cap/drive": [{}]}}]"#,
        true,
    ),
    (
        r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"], "app": {"tailscale.com/cap/golink": [{}]}}]"#,
        false,
    ),
    (
        r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"], "app": {"tailscale.com/cap/secrets": [{}]}}]"#,
        false,
    ),
    (
        r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"], "app": {"tailscale.com/cap/tailsql": [{}]}}]"#,
        false,
    ),
    // Values, and keys that appear twice.
    (r#""randomizeClientPort": "x""#, false),
    (r#""nodeAttrs": [{"target": ["tag:a"], "attr": ["funnel"]}]"#, false),
    (r#""nodeAttrs": [{"target": ["tag:a"], "attr": "x"}]"#, false),
    (r#""nodeAttrs": [{"target": ["tag:a"], "Target": ["tag:b"], "attr": ["x"]}]"#, false),
    (r#""autoApprovers": {"routes": {"10.0.0.0/8": ["anna@"]}}"#, true),
    (r#""autoApprovers": {"routes": {"10.0.0.0": ["anna@"]}}"#, false),
    (r#""autoApprovers": {"routes": {"fd7a::1": ["anna@"]}}"#, false),
    (r#""autoApprovers": {"routes": {"fd7a::/16": ["anna@"], "fd7a:0::/16": ["anna@"]}}"#, false),
    (r#""tests": [{"src": "anna@", "deny": []}]"#, false),
    (r#""tests": [{"src": "anna@", "deny": ["100.64.0.9/32:1"]}]"#, false),
    // SSH: actions, accounts, variables, periods.
    (r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"]}]"#, true),
    (r#""ssh": [{"src": ["anna@"], "dst": ["tag:b"], "users": ["root"]}]"#, false),
    (r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"]}]"#, true),
    (r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["*"]}]"#, false),
    (r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": [" "]}]"#, false),
    (
        r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["autogroup:nonroot"]}]"#,
        true,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "acceptEnv": ["*"]}]"#,
        true,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "acceptEnv": [""]}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "acceptEnv": "x"}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "Action": "accept"}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "always"}]"#,
        true,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "168h"}]"#,
        true,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "1h30m"}]"#,
        true,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "1.5h"}]"#,
        true,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "168h1s"}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "x"}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": ""}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "5"}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "1d"}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "check", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "-1h"}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["tag:b"], "users": ["root"], "checkPeriod": "1h"}]"#,
        false,
    ),
    // SSH: who reaches whom.
    (
        r#""ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["tag:b"], "users": ["root"]}]"#,
        true,
    ),
    (r#""ssh": [{"action": "accept", "src": ["100.64.0.1"], "dst": ["tag:b"], "users": ["root"]}]"#, false),
    (
        r#""ssh": [{"action": "accept", "src": ["autogroup:danger-all"], "dst": ["tag:b"], "users": ["root"]}]"#,
        false,
    ),
    (r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["100.64.0.1"], "users": ["root"]}]"#, false),
    (
        r#""groups": {"group:g": ["anna@"]}, "ssh": [{"action": "accept", "src": ["group:g"], "dst": ["autogroup:self"], "users": ["root"]}]"#,
        true,
    ),
    (
        r#""groups": {"group:g": ["anna@"]}, "ssh": [{"action": "accept", "src": ["anna@"], "dst": ["group:g"], "users": ["root"]}]"#,
        false,
    ),
    (
        r#""hosts": {"h": "100.64.0.9"}, "ssh": [{"action": "accept", "src": ["anna@"], "dst": ["h"], "users": ["root"]}]"#,
        false,
    ),
    (
        r#""hosts": {"h": "100.64.0.9"}, "ssh": [{"action": "accept", "src": ["h"], "dst": ["tag:b"], "users": ["root"]}]"#,
        false,
    ),
    (r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["anna@"], "users": ["root"]}]"#, true),
    (r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["bob@"], "users": ["root"]}]"#, false),
    (r#""ssh": [{"action": "accept", "src": ["anna@"], "dst": ["Anna@"], "users": ["root"]}]"#, false),
    (
        r#""ssh": [{"action": "accept", "src": ["anna@", "bob@"], "dst": ["anna@"], "users": ["root"]}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["anna@"], "users": ["root"]}]"#,
        false,
    ),
    (r#""ssh": [{"action": "accept", "src": [], "dst": ["anna@"], "users": ["root"]}]"#, false),
    (r#""ssh": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b"], "users": ["root"]}]"#, true),
    (r#""ssh": [{"action": "accept", "src": ["tag:a"], "dst": ["anna@"], "users": ["root"]}]"#, false),
    (
        r#""ssh": [{"action": "accept", "src": ["tag:a"], "dst": ["autogroup:self"], "users": ["root"]}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["autogroup:tagged"], "dst": ["autogroup:member"], "users": ["root"]}]"#,
        false,
    ),
    (
        r#""ssh": [{"action": "accept", "src": ["autogroup:tagged"], "dst": ["autogroup:tagged"], "users": ["root"]}]"#,
        true,
    ),
    // Tests of SSH.
    (r#""sshTests": []"#, true),
    (r#""sshTests": [{"src": "anna@", "dst": ["tag:b"]}]"#, false),
    (r#""sshTests": [{"src": "anna@", "dst": ["tag:b"], "deny": []}]"#, false),
    (r#""sshTests": [{"src": "anna@", "dst": [], "deny": ["root"]}]"#, false),
    (r#""sshTests": [{"src": " ", "dst": ["tag:b"], "deny": ["root"]}]"#, false),
];

/// The whole file around a part.
pub(crate) fn file(part: &str) -> String {
    let has_rules = part.contains("\"grants\"") || part.contains("\"acls\"");
    let rules =
        if has_rules { "" } else { r#""grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:1"]}], "# };
    format!(r#"{{"tagOwners": {{"tag:a": ["anna@"], "tag:b": ["tag:a"]}}, {rules}{part}}}"#)
}
