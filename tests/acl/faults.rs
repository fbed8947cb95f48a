//! Refused files. The reason names line, key and value.

use remote_ollama_proxy::acl::parse;

use crate::admits::NAMES;

fn faults(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("understood: {text}"),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn typos_are_reported_with_their_line() {
    for (sections, want) in [
        (r#""grantz": []"#, "line 6: grantz: unknown section; did you mean grants?"),
        (r#""tests": []"#, "neither grants nor acls: Tailscale then lets every device reach everything"),
        (r#""grants": {}"#, "grants: is an object; want a list"),
        (r#""grants": [7]"#, "grants[0] = 7: is a number; want an object"),
        (r#""grants": [], "Grants": []"#, "line 6: Grants: appears twice"),
        (
            r#""grants": [{"src": ["*"], "dest": ["*"], "ip": ["*"]}]"#,
            "grants[0].dest: unknown key; want one of src, dst, ip, app, srcPosture, via",
        ),
        (r#""grants": [{"src": ["*"], "dst": ["*"]}]"#, "grants[0]: neither ip nor app"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": []}]"#, "grants[0]: neither ip nor app"),
        (
            r#""grants": [{"src": "*", "dst": ["*"], "ip": ["*"]}]"#,
            "grants[0].src = \"*\": is a string; want a list",
        ),
        (
            r#""grants": [{"src": ["tag:sever"], "dst": ["*"], "ip": ["*"]}]"#,
            "grants[0].src[0] = \"tag:sever\": unknown tag; add it to tagOwners",
        ),
        (
            r#""grants": [{"src": ["*"], "dst": ["group:ops"], "ip": ["*"]}]"#,
            "grants[0].dst[0] = \"group:ops\": unknown group",
        ),
        (
            r#""grants": [{"src": ["autogroup:membr"], "dst": ["*"], "ip": ["*"]}]"#,
            "\"autogroup:membr\": unknown autogroup; want one of owner, admin",
        ),
        (
            r#""grants": [{"src": ["user:anna@example.com"], "dst": ["*"], "ip": ["*"]}]"#,
            "write user:*@domain",
        ),
        (
            r#""grants": [{"src": ["prnter"], "dst": ["*"], "ip": ["*"]}]"#,
            "\"prnter\": unknown name; want a user, group",
        ),
        (
            r#""grants": [{"src": ["100.64.0.300"], "dst": ["*"], "ip": ["*"]}]"#,
            "\"100.64.0.300\": unknown name",
        ),
        (
            r#""grants": [{"src": ["10.0.0.0/33"], "dst": ["*"], "ip": ["*"]}]"#,
            "\"10.0.0.0/33\": unknown name",
        ),
        (r#""grants": [{"src": ["10.0.0.9-10.0.0.1"], "dst": ["*"], "ip": ["*"]}]"#, "unknown name"),
        (
            r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["tpc:1"]}]"#,
            "grants[0].ip[0] = \"tpc:1\": \"tpc\" is not a protocol",
        ),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["70000"]}]"#, "\"70000\" is not a port"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["+80"]}]"#, "\"+80\" is not a port"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["9-1"]}]"#, "\"9-1\" is not a port"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["icmp:8"]}]"#, "icmp has no ports"),
        (
            r#""grants": [{"src": ["*"], "dst": ["*"], "ip": [443]}]"#,
            "grants[0].ip[0] = 443: is a number; want a string",
        ),
        (
            r#""grants": [{"src": ["*"], "dst": ["*"], "app": {"x": [{}]}}]"#,
            "grants[0].app.x: not a capability's name",
        ),
        (
            r#""grants": [{"src": ["*"], "dst": ["*"], "app": {"a.b/c": {}}}]"#,
            "grants[0].app.a.b/c: is an object; want a list",
        ),
        (
            r#""acls": [{"action": "drop", "src": ["*"], "dst": ["*:*"]}]"#,
            "acls[0].action = \"drop\": the only action is accept",
        ),
        (r#""acls": [{"src": ["*"], "dst": ["*:*"]}]"#, "acls[0]: action is missing"),
        (r#""acls": [{"action": "accept", "src": ["*"], "dst": ["tag:server"]}]"#, "acls[0].dst[0]"),
        (r#""acls": [{"action": "accept", "src": ["*"], "dst": ["printer"]}]"#, "has no ports"),
        (
            r#""acls": [{"action": "accept", "proto": "ssh", "src": ["*"], "dst": ["*:*"]}]"#,
            "acls[0].proto = \"ssh\": \"ssh\" is not a protocol",
        ),
        (r#""grants": [], "tests": [{"src": "tag:client"}]"#, "tests[0]: neither accept nor deny"),
        (r#""grants": [], "tests": [{"deny": []}]"#, "tests[0]: src is missing"),
        (
            r#""grants": [], "tests": [{"src": "*", "deny": ["tag:server:1"]}]"#,
            "tests[0].src = \"*\": a test is about",
        ),
        (
            r#""grants": [], "tests": [{"src": "tag:ci", "deny": ["tag:server:1-2"]}]"#,
            "tests[0].deny[0] = \"tag:server:1-2\": a test names one port",
        ),
        (
            r#""grants": [], "tests": [{"src": "tag:ci", "proto": "ttp", "deny": ["tag:server:1"]}]"#,
            "\"ttp\" is not a protocol",
        ),
    ] {
        let faults = faults(&format!("{{{NAMES}{sections}}}"));
        assert!(faults.contains(want), "{sections}:\n  got  {faults}\n  want {want}");
        assert!(faults.lines().all(|line| line.starts_with("line ")), "{faults}");
    }
}

#[test]
fn faulty_definitions_are_reported() {
    for (sections, want) in [
        (r#""groups": {"dev": []}"#, "groups.dev: not a group's name"),
        (r#""groups": {"group:": []}"#, "groups.group:: not a group's name"),
        (
            r#""groups": {"group:dev": ["group:ops"]}"#,
            "groups.group:dev[0] = \"group:ops\": not a login name",
        ),
        (r#""hosts": {"h": "100.64.0"}"#, "hosts.h = \"100.64.0\": not an address"),
        (r#""hosts": {"h": "10.0.0.1-10.0.0.2"}"#, "not an address"),
        (r#""hosts": {"tag:h": "100.64.0.1"}"#, "hosts.tag:h: not a host's name"),
        (r#""tagOwners": {"server": []}"#, "tagOwners.server: not a tag's name"),
        (r#""tagOwners": {"tag:1x": []}"#, "not a tag's name"),
        (r#""tagOwners": {"tag:x": ["group:ops"]}"#, "tagOwners.tag:x[0] = \"group:ops\": unknown group"),
        (r#""tagOwners": {"tag:x": ["100.64.0.1"]}"#, "can't own a tag"),
        (r#""tagOwners": {"tag:x": ["*"]}"#, "can't own a tag"),
    ] {
        let faults = faults(&format!("{{{sections}, \"grants\": []}}"));
        assert!(faults.contains(want), "{sections}:\n  got  {faults}\n  want {want}");
    }
}

#[test]
fn syntax_looser_than_hujson_is_refused() {
    for (text, want) in [
        ("", "the file is empty"),
        ("// nothing\n", "the file is empty"),
        ("{\"grants\": []}\n// end", "line 2: not HuJSON: the line of the comment does not end"),
        ("[]", "is a list; want an object"),
        ("null", "is null; want an object"),
        (r#"{"grants": [}"#, "line 1: not HuJSON"),
        ("{\n\"grants\": []\n\"acls\": []}", "line 2: not HuJSON: expected comma"),
        ("{'grants': []}", "not HuJSON"),
        ("{grants: []}", "not HuJSON"),
        (r#"{"grants": [,]}"#, "not HuJSON"),
        (r#"{"grants": [],,}"#, "not HuJSON"),
        (r#"{"grants": []} {}"#, "not HuJSON"),
        (r#"{"grants": [], "ssh": 0x1F}"#, "not HuJSON"),
        (r#"{"grants": [], "ssh": 01}"#, "not HuJSON"),
        (r#"{"grants": [], "ssh": .5}"#, "not HuJSON"),
        (r#"{"grants": [], "ssh": NaN}"#, "not HuJSON"),
        (r#"{"grants": [], "ssh": "\x41"}"#, "not HuJSON"),
        ("{\"grants\": [], \"ssh\": \"a\tb\"}", "not HuJSON"),
        ("{\"grants\": [] /* }", "not HuJSON"),
        ("{\"grants\":\u{a0}[]}", "line 1: not HuJSON: a space that JSON does not allow"),
        ("{\"grants\": [], # no comment\n}", "not HuJSON"),
        ("{\n\"grants\": [],\n\"ssh\": [{\"a\": 1, \"a\": 2}]}", "line 3: ssh[0].a: appears twice"),
    ] {
        let faults = faults(text);
        assert!(faults.contains(want), "{text}:\n  got  {faults}\n  want {want}");
    }
    for text in [
        r#"{"grants": [],}"#,
        "// a\n{/* b */\"grants\"/**/:[//c\n],\n/* d\n*/}\n//\n",
        r#"{"acls": [], "ssh": [], "nodeAttrs": [], "autoApprovers": {}, "postures": {}, "sshTests": []}"#,
        r#"{"Groups": {}, "ACLs": [], "derpMap": null, "OneCGNATRoute": "", "disableIPv4": true}"#,
    ] {
        assert!(parse(text).is_ok(), "{text}: {}", faults(text));
    }
}

#[test]
fn all_faults_are_reported_at_once_in_file_order() {
    let faults = faults(
        "{\n\"grants\": [\n{\"src\": [\"tag:a\"], \"dst\": [\"tag:b\"],\n\"ip\": [\"x\"]}],\n\"tests\": [{\"srk\": 1}],\n\
         \"groups\": {\"x\": []}}",
    );
    let lines: Vec<_> = faults.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["line 3", "line 3", "line 4", "line 5", "line 5", "line 5", "line 6"], "{faults}");
}

#[test]
fn rules_that_tailscale_refuses_are_refused() {
    let grant = |src: &str, dst: &str, more: &str| {
        format!(r#""grants": [{{"src": [{src}], "dst": [{dst}], {more}}}]"#)
    };
    let acl =
        |src: &str, dst: &str| format!(r#""acls": [{{"action": "accept", "src": [{src}], "dst": [{dst}]}}]"#);
    let ip = r#""ip": ["*"]"#;
    let app = |name: &str| format!(r#""app": {{"{name}": [{{}}]}}"#);
    for (sections, want) in [
        // autogroup:self and autogroup:internet.
        (grant(r#""autogroup:self""#, r#""*""#, ip), "grants[0].src[0] = \"autogroup:self\": autogroup:self can't"),
        (acl(r#""autogroup:self""#, r#""*:*""#), "acls[0].src[0] = \"autogroup:self\""),
        (grant(r#""autogroup:internet""#, r#""*""#, ip), "autogroup:internet can't be a source"),
        (grant(r#""*""#, r#""autogroup:self""#, ip), "and src has *"),
        (grant(r#""tag:ci""#, r#""autogroup:self""#, ip), "and src has tag:ci"),
        (grant(r#""autogroup:tagged""#, r#""tag:ci", "autogroup:self""#, ip), "grants[0].dst[1]"),
        (grant(r#""anna@example.com", "lab""#, r#""autogroup:self""#, ip), "and src has lab"),
        (acl(r#""tag:ci""#, r#""autogroup:self:*""#), "acls[0].dst[0]"),
        (acl(r#""autogroup:member", "tag:ci""#, r#""autogroup:self:22""#), "and src has tag:ci"),
        (acl(r#""*", "100.64.0.9""#, r#""autogroup:self:22""#), "and src has 100.64.0.9"),
        // Sources that are no destination.
        (grant(r#""*""#, r#""autogroup:danger-all""#, ip), "autogroup:danger-all can't be a destination"),
        (grant(r#""*""#, r#""0.0.0.0/0""#, ip), "write \"*\""),
        (grant(r#""*""#, r#""lab", "::/0""#, ip), "grants[0].dst[1] = \"::/0\""),
        (acl(r#""*""#, r#""0.0.0.0/0:443""#), "acls[0].dst[0] = \"0.0.0.0/0:443\""),
        // Capabilities.
        (grant(r#""*""#, r#""*""#, &app("https://example.com/cap/x")), "not a capability's name"),
        (grant(r#""*""#, r#""*""#, &app("cap/x")), "not a capability's name"),
        (grant(r#""*""#, r#""*""#, &app("example.com/")), "not a capability's name"),
        (grant(r#""*""#, r#""*""#, &app("tailscale.com/cap/ingress")), "reserves this capability"),
        (grant(r#""*""#, r#""*""#, &app("Tailscale.com/cap/funnel")), "reserves this capability"),
        (
            grant(r#""*""#, r#""autogroup:internet""#, &format!("{ip}, {}", app("example.com/cap/x"))),
            "grants[0]: autogroup:internet can't be a destination of a grant with app",
        ),
        // via.
        (grant(r#""*""#, r#""lab""#, r#""ip": ["*"], "via": ["tag:nowhere"]"#), "grants[0].via[0] = \"tag:nowhere\""),
        (grant(r#""*""#, r#""lab""#, r#""ip": ["*"], "via": ["autogroup:tagged"]"#), "grants[0].via[0]"),
        // Ports and protocols.
        (grant(r#""*""#, r#""lab""#, r#""ip": ["tcp:0"]"#), "\"0\" is not a port"),
        (grant(r#""*""#, r#""lab""#, r#""ip": ["0-443"]"#), "\"0-443\" is not a port"),
        (grant(r#""*""#, r#""lab""#, r#""ip": [":443"]"#), "has no protocol"),
        (grant(r#""*""#, r#""lab""#, r#""ip": ["256:*"]"#), "\"256\" is not a protocol"),
        (grant(r#""*""#, r#""lab""#, r#""ip": ["*:icmp"]"#), "\"icmp\" is not a port"),
        (acl(r#""*""#, r#""lab:0""#), "\"0\" is not a port"),
        // Names of what is not defined.
        (grant(r#""ipset:home""#, r#""*""#, ip), "unknown IP set; add it to ipsets"),
        (grant(r#""*""#, r#""*""#, r#""ip": ["*"], "srcPosture": ["posture:y"]"#), "unknown posture"),
        (r#""grants": [], "defaultSrcPosture": ["posture:y"]"#.to_owned(), "unknown posture"),
        // Tests.
        (test("anna@example.com", "lab:443", "tcp"), "tests[0].deny[0] = \"lab:443\": a test is about one address"),
        (test("lab", "tag:ci:443", "tcp"), "tests[0].src = \"lab\": a test is about one address"),
        (test("anna@example.com", "10.0.0.0/8:443", "tcp"), "about one address"),
        (test("anna@example.com", "tag:ci:0", "tcp"), "\"0\" is not a port"),
        (test("anna@example.com", "tag:ci:*", "tcp"), "a test names one port"),
        (test("anna@example.com", "tag:ci:22,80", "tcp"), "is not a port"),
        (test("anna@example.com", "tag:ci:22", "icmp"), "tests[0].proto = \"icmp\": a test is about tcp, udp or sctp"),
        (test("anna@example.com", "tag:ci:22", "47"), "a test is about tcp, udp or sctp"),
        (test("svc:web", "tag:ci:22", "tcp"), "a Service opens no connections"),
        (test("anna@example.com", "autogroup:internet:443", "tcp"), "a test is about a user"),
        (test("anna@example.com", "autogroup:self:443", "tcp"), "a test is about a user"),
        // Sections that do not affect access.
        (r#""grants": [], "nodeAttrs": [{"target": ["tag:nowhere"], "attr": ["funnel"]}]"#.to_owned(), "nodeAttrs[0].target[0]"),
        (r#""grants": [], "nodeAttrs": [{"target": ["%bogus%"]}]"#.to_owned(), "nodeAttrs[0].target[0] = \"%bogus%\""),
        (
            r#""grants": [], "ssh": [{"action": "accept", "src": ["*"], "dst": ["tag:ci"], "users": ["root"]}]"#
                .to_owned(),
            "ssh[0].src[0] = \"*\": can't be a source of SSH",
        ),
        (
            r#""grants": [], "ssh": [{"action": "deny", "src": ["group:dev"], "dst": ["tag:nowhere"], "users": []}]"#
                .to_owned(),
            "ssh[0].dst[0] = \"tag:nowhere\"",
        ),
        (
            r#""grants": [], "sshTests": [{"src": "anna@example.com", "dst": ["tag:nowhere"], "accept": ["root"]}]"#
                .to_owned(),
            "sshTests[0].dst[0]",
        ),
    ] {
        let faults = faults(&format!("{{{NAMES}{sections}}}"));
        assert!(faults.contains(want), "{sections}:\n  got  {faults}\n  want {want}");
    }
}

fn test(src: &str, dst: &str, proto: &str) -> String {
    format!(r#""grants": [], "tests": [{{"src": "{src}", "proto": "{proto}", "deny": ["{dst}"]}}]"#)
}

#[test]
fn definitions_with_dangling_references_are_refused() {
    for (sections, want) in [
        (
            r#""autoApprovers": {"routes": {"10.0.0.0/8": ["tag:nowhere"]}}"#,
            "autoApprovers.routes.10.0.0.0/8[0]",
        ),
        (r#""autoApprovers": {"routes": {"ten": []}}"#, "autoApprovers.routes.ten: not a CIDR"),
        (r#""autoApprovers": {"exitNode": ["100.64.0.1"]}"#, "can't approve"),
        (r#""autoApprovers": {"services": {"svc:x": ["group:none"]}}"#, "unknown group"),
        (r#""autoApprovers": {"exitNodes": []}"#, "unknown key"),
        (r#""ipsets": {"home": []}"#, "not an IP set's name"),
        (r#""ipsets": {"ipset:a": ["add autogroup:member"]}"#, "not an address"),
        (r#""ipsets": {"ipset:a": ["add ipset:b"]}"#, "unknown IP set"),
        (r#""ipsets": {"ipset:a": ["ipset:b"], "ipset:b": ["remove ipset:a"]}"#, "ipset:a includes itself"),
        (r#""postures": {"mac": []}"#, "not a posture's name"),
    ] {
        let faults = faults(&format!("{{{sections}, \"grants\": []}}"));
        assert!(faults.contains(want), "{sections}:\n  got  {faults}\n  want {want}");
    }
}

#[test]
fn rules_that_tailscale_accepts_are_accepted() {
    for sections in [
        r#""grants": [{"src": [], "dst": ["*"], "ip": ["*"]}, {"src": ["*"], "dst": [], "app": {"a.b/c": [{}]}}]"#,
        r#""grants": [{"dst": ["*"], "ip": ["*"]}], "acls": [{"action": "accept", "src": ["*"], "dst": []}]"#,
        r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["*:*", "*:11434", "Tcp:1", "UDP:*", "ipv6-icmp:*", "0:*"]}]"#,
        r#""acls": [{"action": "accept", "proto": "UDP", "src": ["*"], "dst": ["*:53"]}]"#,
        r#""acls": [{"action": "accept", "src": ["*"], "dst": ["autogroup:self:*"]}]"#,
        r#""grants": [{"src": ["autogroup:admin", "group:dev", "anna@example.com"], "dst": ["autogroup:self"], "ip": ["*"]}]"#,
        r#""grants": [{"src": ["autogroup:danger-all", "0.0.0.0/0"], "dst": ["autogroup:internet"], "ip": ["*"]}]"#,
        r#""grants": [{"src": ["*"], "dst": ["lab"], "ip": ["*"], "via": ["tag:ci", "tag:server"]}]"#,
        r#""grants": [{"src": ["*"], "dst": ["*"], "app": {"tailscale.com/cap/drive": [{}], "my-own.internal/a/b/c": [{}]}}]"#,
        r#""grants": [], "tests": [{"src": "printer", "proto": "SCTP", "deny": ["printer:1", "svc:web:443", "[fd7a:115c:a1e0::9]:2"]}]"#,
        r#""grants": [], "nodeAttrs": [{"target": ["*", "autogroup:member", "group:dev", "100.64.0.9/32"], "attr": ["funnel"]}]"#,
        r#""grants": [], "ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"], "checkPeriod": "12h"}]"#,
    ] {
        let text = format!("{{{NAMES}{sections}}}");
        assert!(parse(&text).is_ok(), "{sections}: {}", faults(&text));
    }
}
