//! What is refused, and that the reason names line, key and value.

use remote_ollama_proxy::acl::parse;

use crate::admits::NAMES;

fn faults(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("understood: {text}"),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn typos_are_told_with_their_place() {
    for (sections, want) in [
        (r#""grantz": []"#, "line 4: grantz: there is no such section: grants is meant"),
        (r#""tests": []"#, "neither grants nor acls: Tailscale lets everybody reach everything"),
        (r#""grants": {}"#, "grants: is an object, and must be a list"),
        (r#""grants": [7]"#, "grants[0] = 7: is a number, and must be an object"),
        (r#""grants": [], "Grants": []"#, "line 4: Grants: is there twice"),
        (
            r#""grants": [{"src": ["*"], "dest": ["*"], "ip": ["*"]}]"#,
            "grants[0].dest: there is no such key: want one of src, dst, ip, app, srcPosture, via",
        ),
        (r#""grants": [{"src": ["*"], "dst": ["*"]}]"#, "grants[0]: neither ip nor app"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": []}]"#, "grants[0]: neither ip nor app"),
        (r#""grants": [{"dst": ["*"], "ip": ["*"]}]"#, "grants[0]: src is missing"),
        (r#""grants": [{"src": [], "dst": ["*"], "ip": ["*"]}]"#, "grants[0].src = []: is empty"),
        (
            r#""grants": [{"src": "*", "dst": ["*"], "ip": ["*"]}]"#,
            "grants[0].src = \"*\": is a text, and must be a list",
        ),
        (
            r#""grants": [{"src": ["tag:sever"], "dst": ["*"], "ip": ["*"]}]"#,
            "grants[0].src[0] = \"tag:sever\": there is no such tag in tagOwners",
        ),
        (
            r#""grants": [{"src": ["*"], "dst": ["group:ops"], "ip": ["*"]}]"#,
            "grants[0].dst[0] = \"group:ops\": there is no such group",
        ),
        (
            r#""grants": [{"src": ["autogroup:membr"], "dst": ["*"], "ip": ["*"]}]"#,
            "\"autogroup:membr\": there is no such autogroup: want one of owner, admin",
        ),
        (
            r#""grants": [{"src": ["user:anna@example.com"], "dst": ["*"], "ip": ["*"]}]"#,
            "want user:*@domain",
        ),
        (r#""grants": [{"src": ["prnter"], "dst": ["*"], "ip": ["*"]}]"#, "\"prnter\": no user, group"),
        (r#""grants": [{"src": ["100.64.0.300"], "dst": ["*"], "ip": ["*"]}]"#, "\"100.64.0.300\": no user"),
        (r#""grants": [{"src": ["10.0.0.0/33"], "dst": ["*"], "ip": ["*"]}]"#, "\"10.0.0.0/33\": no user"),
        (r#""grants": [{"src": ["10.0.0.9-10.0.0.1"], "dst": ["*"], "ip": ["*"]}]"#, "no user"),
        (
            r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["tpc:1"]}]"#,
            "grants[0].ip[0] = \"tpc:1\": \"tpc\" is no protocol",
        ),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["70000"]}]"#, "\"70000\" is no port"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["+80"]}]"#, "\"+80\" is no port"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["9-1"]}]"#, "\"9-1\" is no port"),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "ip": ["icmp:8"]}]"#, "icmp has no ports"),
        (
            r#""grants": [{"src": ["*"], "dst": ["*"], "ip": [443]}]"#,
            "grants[0].ip[0] = 443: is a number, and must be a text",
        ),
        (r#""grants": [{"src": ["*"], "dst": ["*"], "app": {"x": [{}]}}]"#, "grants[0].app.x: no capability"),
        (
            r#""grants": [{"src": ["*"], "dst": ["*"], "app": {"a.b/c": {}}}]"#,
            "grants[0].app.a.b/c: is an object, and must be a list",
        ),
        (
            r#""acls": [{"action": "drop", "src": ["*"], "dst": ["*:*"]}]"#,
            "acls[0].action = \"drop\": there is no action but accept",
        ),
        (r#""acls": [{"src": ["*"], "dst": ["*:*"]}]"#, "acls[0]: action is missing"),
        (r#""acls": [{"action": "accept", "src": ["*"], "dst": []}]"#, "acls[0].dst = []: is empty"),
        (r#""acls": [{"action": "accept", "src": ["*"], "dst": ["tag:server"]}]"#, "acls[0].dst[0]"),
        (r#""acls": [{"action": "accept", "src": ["*"], "dst": ["printer"]}]"#, "lacks the ports"),
        (
            r#""acls": [{"action": "accept", "proto": "ssh", "src": ["*"], "dst": ["*:*"]}]"#,
            "acls[0].proto = \"ssh\": \"ssh\" is no protocol",
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
            "\"ttp\" is no protocol",
        ),
    ] {
        let faults = faults(&format!("{{{NAMES}{sections}}}"));
        assert!(faults.contains(want), "{sections}:\n  got  {faults}\n  want {want}");
        assert!(faults.lines().all(|line| line.starts_with("line ")), "{faults}");
    }
}

#[test]
fn faulty_definitions_are_told() {
    for (sections, want) in [
        (r#""groups": {"dev": []}"#, "groups.dev: no name of a group"),
        (r#""groups": {"group:": []}"#, "groups.group:: no name of a group"),
        (r#""groups": {"group:dev": ["group:ops"]}"#, "groups.group:dev[0] = \"group:ops\": no login name"),
        (r#""hosts": {"h": "100.64.0"}"#, "hosts.h = \"100.64.0\": no address"),
        (r#""hosts": {"h": "10.0.0.1-10.0.0.2"}"#, "no address"),
        (r#""hosts": {"tag:h": "100.64.0.1"}"#, "hosts.tag:h: no name for a host"),
        (r#""tagOwners": {"server": []}"#, "tagOwners.server: no name of a tag"),
        (r#""tagOwners": {"tag:1x": []}"#, "no name of a tag"),
        (
            r#""tagOwners": {"tag:x": ["group:ops"]}"#,
            "tagOwners.tag:x[0] = \"group:ops\": there is no such group",
        ),
        (r#""tagOwners": {"tag:x": ["100.64.0.1"]}"#, "can't own a tag"),
        (r#""tagOwners": {"tag:x": ["*"]}"#, "can't own a tag"),
    ] {
        let faults = faults(&format!("{{{sections}, \"grants\": []}}"));
        assert!(faults.contains(want), "{sections}:\n  got  {faults}\n  want {want}");
    }
}

#[test]
fn nothing_looser_than_hujson_is_read() {
    for (text, want) in [
        ("", "the file is empty"),
        ("// nothing\n", "the file is empty"),
        ("{\"grants\": []}\n// end", "line 2: no HuJSON: the comment lacks the end"),
        ("[]", "is a list, and must be an object"),
        ("null", "is null, and must be an object"),
        (r#"{"grants": [}"#, "line 1: no HuJSON"),
        ("{\n\"grants\": []\n\"acls\": []}", "line 2: no HuJSON: expected comma"),
        ("{'grants': []}", "no HuJSON"),
        ("{grants: []}", "no HuJSON"),
        (r#"{"grants": [,]}"#, "no HuJSON"),
        (r#"{"grants": [],,}"#, "no HuJSON"),
        (r#"{"grants": []} {}"#, "no HuJSON"),
        (r#"{"grants": [], "ssh": 0x1F}"#, "no HuJSON"),
        (r#"{"grants": [], "ssh": 01}"#, "no HuJSON"),
        (r#"{"grants": [], "ssh": .5}"#, "no HuJSON"),
        (r#"{"grants": [], "ssh": NaN}"#, "no HuJSON"),
        (r#"{"grants": [], "ssh": "\x41"}"#, "no HuJSON"),
        ("{\"grants\": [], \"ssh\": \"a\tb\"}", "no HuJSON"),
        ("{\"grants\": [] /* }", "no HuJSON"),
        ("{\"grants\":\u{a0}[]}", "line 1: no HuJSON: a space that is none in JSON"),
        ("{\"grants\": [], # no comment\n}", "no HuJSON"),
        ("{\n\"grants\": [],\n\"ssh\": [{\"a\": 1, \"a\": 2}]}", "line 3: ssh[0].a: is there twice"),
    ] {
        let faults = faults(text);
        assert!(faults.contains(want), "{text}:\n  got  {faults}\n  want {want}");
    }
    for text in [
        r#"{"grants": [],}"#,
        "// a\n{/* b */\"grants\"/**/:[//c\n],\n/* d\n*/}\n//\n",
        r#"{"acls": [], "ssh": [{}], "nodeAttrs": [], "autoApprovers": {}, "postures": {}, "sshTests": []}"#,
        r#"{"Groups": {}, "ACLs": [], "derpMap": null, "OneCGNATRoute": "", "disableIPv4": true}"#,
    ] {
        assert!(parse(text).is_ok(), "{text}: {}", faults(text));
    }
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let faults = faults(
        "{\n\"grants\": [\n{\"src\": [\"tag:a\"], \"dst\": [\"tag:b\"],\n\"ip\": [\"x\"]}],\n\"tests\": [{\"srk\": 1}],\n\
         \"groups\": {\"x\": []}}",
    );
    let lines: Vec<_> = faults.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["line 3", "line 3", "line 4", "line 5", "line 5", "line 5", "line 6"], "{faults}");
}
