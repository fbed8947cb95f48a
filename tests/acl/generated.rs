//! Policies for the comparison of the two evaluations, generated from a fixed seed so that every run is the same.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use remote_ollama_proxy::config::CAPABILITY;
use serde_json::{Value, json};

pub(crate) const POLICIES: usize = 600;

const NAMES: &str = r#"
    "groups": {"group:dev": ["anna@example.com", "ben@example.com"], "group:ops": ["ben@example.com", "carl@other.test"]},
    "hosts": {"printer": "100.64.0.7", "lab": "100.64.7.0/24", "six": "fd7a:115c:a1e0::7"},
    "tagOwners": {"tag:a": ["group:dev"], "tag:b": ["tag:a"], "tag:c": []},"#;

const SOURCES: [&str; 27] = [
    "autogroup:danger-all",
    "ANNA@Example.com",
    "user:*@EXAMPLE.com",
    "100.115.92.0/23",
    "fd7a:115c:a1e0:b1a::/64",
    "*",
    "tag:a",
    "tag:b",
    "tag:c",
    "group:dev",
    "group:ops",
    "anna@example.com",
    "ada@example.com",
    "user:*@example.com",
    "autogroup:member",
    "autogroup:tagged",
    "autogroup:admin",
    "autogroup:owner",
    "autogroup:auditor",
    "printer",
    "lab",
    "six",
    "100.64.0.0/24",
    "100.64.0.1-100.64.0.6",
    "0.0.0.0/0",
    "fd7a:115c:a1e0::/48",
    "100.64.7.9",
];

/// The same without sources that are no destination, and with destinations that are no source.
const DESTINATIONS: [&str; 25] = [
    "*",
    "tag:a",
    "tag:b",
    "tag:c",
    "group:dev",
    "group:ops",
    "anna@example.com",
    "Ada@Example.com",
    "user:*@example.com",
    "autogroup:member",
    "autogroup:tagged",
    "autogroup:admin",
    "autogroup:owner",
    "autogroup:auditor",
    "autogroup:internet",
    "printer",
    "lab",
    "six",
    "svc:web",
    "100.64.0.0/24",
    "100.64.0.1-100.64.0.6",
    "100.100.100.100",
    "128.0.0.0/1",
    "fd7a:115c:a1e0::/48",
    "100.64.7.9",
];

/// Sources that may be combined with autogroup:self.
const USERS: [&str; 5] =
    ["group:dev", "Anna@example.com", "ada@example.com", "autogroup:member", "autogroup:owner"];

const TRAFFICS: [&str; 20] = [
    "*:*",
    "*:443",
    "TCP:443",
    "Udp:53",
    "0:443",
    "ipv6-icmp:*",
    "icmpv4:*",
    "dccp:*",
    "*",
    "443",
    "22-443",
    "tcp:443",
    "tcp:*",
    "udp:53",
    "udp:443-500",
    "17:*",
    "sctp:443",
    "icmp:*",
    "tcp:65535",
    "gre:*",
];

fn pick(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    // Sometimes empty, which grants nothing.
    prop_oneof![
        19 => proptest::collection::vec(proptest::sample::select(from), 1..=most),
        1 => Just(Vec::new()),
    ]
}

/// Sources and destinations that may be combined.
fn ends() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    prop_oneof![
        8 => (pick(&SOURCES, 2), pick(&DESTINATIONS, 2)),
        1 => (pick(&USERS, 2), Just(vec!["autogroup:self"])),
    ]
}

fn grant() -> impl Strategy<Value = Value> {
    let ip = proptest::collection::vec(proptest::sample::select(&TRAFFICS[..]), 1..=2);
    (ends(), ip, 0..4u8).prop_map(|((src, dst), ip, app)| {
        let mut grant = json!({"src": src, "dst": dst});
        // Applications do not lead to the internet.
        let app = if dst.contains(&"autogroup:internet") { 0 } else { app };
        if app != 1 {
            grant["ip"] = json!(ip);
        }
        if app > 0 {
            grant["app"] = json!({CAPABILITY: [{"max_concurrent": app}], "example.com/cap/x": [{}]});
        }
        grant
    })
}

fn acl() -> impl Strategy<Value = Value> {
    let ports = proptest::sample::select(&["*", "443", "22,443-444", "53,65535"][..]);
    let protocol = proptest::option::of(proptest::sample::select(&["tcp", "UDP", "6", "sctp"][..]));
    (ends(), ports, protocol).prop_map(|((src, dst), ports, protocol)| {
        let target = |dst: &&str| {
            if dst.contains("::") { format!("[{dst}]:{ports}") } else { format!("{dst}:{ports}") }
        };
        let mut acl =
            json!({"action": "accept", "src": src, "dst": dst.iter().map(target).collect::<Vec<_>>()});
        if let Some(protocol) = protocol {
            acl["proto"] = json!(protocol);
        }
        acl
    })
}

fn test() -> impl Strategy<Value = Value> {
    const WHO: [&str; 9] = [
        "tag:a",
        "tag:b",
        "tag:c",
        "group:dev",
        "group:ops",
        "Anna@example.com",
        "zoe@example.com",
        "printer",
        "192.0.2.1",
    ];
    const TARGETS: [&str; 10] = [
        "tag:a",
        "tag:b",
        "tag:c",
        "group:dev",
        "group:ops",
        "anna@example.com",
        "zoe@example.com",
        "printer",
        "svc:web",
        "192.0.2.1",
    ];
    let targets = || {
        let port = proptest::sample::select(&["22", "443", "444", "53"][..]);
        let target =
            (proptest::sample::select(&TARGETS[..]), port).prop_map(|(who, port)| format!("{who}:{port}"));
        proptest::collection::vec(target, 0..2)
    };
    let protocol = proptest::option::of(proptest::sample::select(&["tcp", "Udp", "6", "132"][..]));
    (proptest::sample::select(&WHO[..]), targets(), targets(), protocol).prop_map(
        |(src, accept, deny, protocol)| {
            let mut test = json!({"src": src, "accept": accept, "deny": deny});
            if accept.len() + deny.len() == 0 {
                test["deny"] = json!(["tag:c:22"]);
            }
            if let Some(protocol) = protocol {
                test["proto"] = json!(protocol);
            }
            test
        },
    )
}

/// Grants, acls and one test.
pub(crate) fn policies() -> Vec<(Value, Value, Value)> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let policy = (proptest::collection::vec(grant(), 0..4), proptest::collection::vec(acl(), 0..3), test());
    let mut made = || {
        let (grants, acls, test) = policy.new_tree(&mut runner).unwrap().current();
        (json!(grants), json!(acls), test)
    };
    (0..POLICIES).map(|_| made()).collect()
}

pub(crate) fn text(grants: &Value, acls: &Value, tests: &Value) -> String {
    format!(r#"{{{NAMES} "grants": {grants}, "acls": {acls}, /* all of it */ "tests": {tests},}}"#)
}

/// Entries, some of them valid: each source with each destination, in a grant and in an acl, and each protocol, port,
/// capability and test.
pub(crate) fn doubtful() -> Vec<String> {
    const SRC: [&str; 15] = [
        "*",
        "tag:a",
        "tag:none",
        "group:dev",
        "group:none",
        "Anna@example.com",
        "user:*@example.com",
        "autogroup:member",
        "autogroup:tagged",
        "autogroup:admin",
        "autogroup:self",
        "autogroup:internet",
        "autogroup:danger-all",
        "lab",
        "0.0.0.0/0",
    ];
    const MORE: [&str; 6] = ["svc:web", "::/0", "printer", "nowhere", "fd7a:115c:a1e0:b1a::/64", "tag:c"];
    const IP: [&str; 24] = [
        "*",
        "*:*",
        "*:1",
        "1",
        "0",
        "0-1",
        "1-0",
        "1-2",
        "1-2-3",
        "tcp:0",
        ":1",
        "tcp:",
        "TCP:1",
        "icmp:*",
        "icmp:1",
        "Ipv6-Icmp:*",
        "0:1",
        "255:*",
        "256:*",
        "dccp:*",
        "tsmp:*",
        "igp:*",
        "ssh:1",
        "",
    ];
    const APP: [&str; 9] = [
        "example.com/x",
        "example.com/",
        "example.com",
        "x/y",
        "https://example.com/x",
        "tailscale.com/cap/drive",
        "tailscale.com/cap/funnel",
        "Tailscale.com/cap/x",
        "eu.tailscale.com/cap/drive",
    ];
    const TARGET: [&str; 12] = [
        "tag:a:1",
        "tag:a:0",
        "tag:a:*",
        "tag:a:1-2",
        "tag:a:1,2",
        "tag:a",
        "lab:1",
        "printer:1",
        "svc:web:1",
        "*:1",
        "10.0.0.0/8:1",
        "100.64.0.7:1",
    ];
    const PROTO: [&str; 9] = ["", "tcp", "UDP", "sctp", "6", "icmp", "58", "gre", "ssh"];
    let mut all = Vec::new();
    for src in SRC {
        for dst in SRC.iter().chain(&MORE) {
            let port = if dst.contains("::") { format!("[{dst}]:443") } else { format!("{dst}:443") };
            all.push(format!(r#""grants": [{{"src": ["{src}"], "dst": ["{dst}"], "ip": ["443"]}}]"#));
            all.push(format!(r#""acls": [{{"action": "accept", "src": ["{src}"], "dst": ["{port}"]}}]"#));
        }
    }
    all.extend(IP.map(|ip| format!(r#""grants": [{{"src": ["*"], "dst": ["*"], "ip": ["{ip}"]}}]"#)));
    for app in APP {
        for dst in ["*", "autogroup:internet"] {
            all.push(format!(
                r#""grants": [{{"src": ["*"], "dst": ["{dst}"], "app": {{"{app}": [{{}}]}}}}]"#
            ));
        }
    }
    for proto in PROTO {
        all.push(format!(
            r#""acls": [{{"action": "accept", "proto": "{proto}", "src": ["*"], "dst": ["*:*"]}}]"#
        ));
        all.push(format!(
            r#""acls": [{{"action": "accept", "proto": "{proto}", "src": ["*"], "dst": ["*:1"]}}]"#
        ));
        for target in TARGET {
            let test = format!(r#"{{"src": "printer", "proto": "{proto}", "deny": ["{target}"]}}"#);
            all.push(format!(r#""grants": [], "tests": [{test}]"#));
        }
    }
    for src in SRC.iter().chain(&MORE) {
        all.push(format!(r#""grants": [], "tests": [{{"src": "{src}", "deny": ["tag:a:1"]}}]"#));
    }
    all.iter().map(|sections| format!("{{{NAMES} {sections}}}")).collect()
}
