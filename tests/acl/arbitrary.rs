//! Any file is parsed or refused, without a panic.

use proptest::prelude::*;
use remote_ollama_proxy::acl::{Device, Target, parse};
use remote_ollama_proxy::config::CAPABILITY;
use remote_ollama_proxy::policy::AccessMode;
use serde_json::{Map, Value};

/// Texts that have a meaning in a policy, and near misses.
const WORDS: [&str; 34] = [
    "*",
    "tag:a",
    "tag:b",
    "tag:",
    "group:g",
    "group:h",
    "group:s@x.y",
    "anna@x.y",
    "@",
    "user:*@x.y",
    "user:*@",
    "autogroup:member",
    "autogroup:self",
    "autogroup:admin",
    "autogroup:danger-all",
    "100.64.0.1",
    "0.0.0.0/0",
    "::/0",
    "fd7a:115c:a1e0::/128",
    "1.2.3.4-1.2.3.9",
    "ipset:x",
    "svc:x",
    "tag:a:443",
    "*:*",
    "[::1]:1,2-3",
    ":",
    "::",
    "443",
    "tcp:443",
    "icmp:*",
    "accept",
    "tcp",
    "posture:x",
    "é",
];

const KEYS: [&str; 24] = [
    "groups",
    "hosts",
    "tagOwners",
    "grants",
    "acls",
    "tests",
    "defaultSrcPosture",
    "ssh",
    "src",
    "dst",
    "ip",
    "app",
    "srcPosture",
    "via",
    "action",
    "proto",
    "accept",
    "deny",
    "users",
    "ports",
    "group:g",
    "tag:a",
    "x.y/z",
    CAPABILITY,
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => proptest::sample::select(&WORDS[..]).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let key = prop_oneof![
            8 => proptest::sample::select(&KEYS[..]).prop_map(str::to_owned),
            1 => any::<String>(),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A policy that is valid except for one section.
fn nearly() -> impl Strategy<Value = Value> {
    let selectors = || proptest::collection::vec(proptest::sample::select(&WORDS[..]), 1..3);
    let entry = (selectors(), selectors(), selectors(), json()).prop_map(|(src, dst, ip, value)| {
        serde_json::json!({"src": src, "dst": dst, "ip": ip, "app": {CAPABILITY: [value]}})
    });
    (proptest::collection::vec(entry, 0..4), proptest::sample::select(&KEYS[..8]), json()).prop_map(
        |(grants, key, value)| {
            let mut policy = serde_json::json!({
                "groups": {"group:g": ["anna@x.y"], "group:h": []},
                "tagOwners": {"tag:a": [], "tag:b": ["tag:a"]},
                "grants": grants,
            });
            policy[key] = value;
            policy
        },
    )
}

fn evaluate(text: &str) {
    let policy = match parse(text) {
        Ok(policy) => policy,
        Err(faults) => {
            assert!(!faults.0.is_empty());
            assert!(faults.0.iter().all(|fault| fault.line >= 1 && !fault.reason.is_empty()));
            return;
        }
    };
    let target = |device| Target {
        device,
        service: Some("svc:x".to_owned()),
        port: 443,
        https: Some(8443),
        metrics: Some(80),
        page: Some(81),
        setup: false,
        capability: CAPABILITY.to_owned(),
        access: AccessMode::Network,
    };
    for device in [Device::tagged(["tag:a", "tag:b"]), Device::of_user("anna@x.y"), Device::tagged([""; 0])] {
        let report = policy.reach(&target(device));
        for row in report.reach.iter().chain(&report.https).chain(&report.metrics).chain(&report.page) {
            assert!(!row.through.is_empty(), "{} gets in through nothing: {text}", row.source);
        }
    }
    for failure in policy.failures() {
        assert!(!failure.reason.is_empty());
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        evaluate(&text);
    }

    #[test]
    fn any_json_is_parsed_or_refused(value in json()) {
        evaluate(&value.to_string());
    }

    #[test]
    fn any_section_is_parsed_or_refused(value in nearly()) {
        evaluate(&value.to_string());
    }
}

#[test]
fn deeply_nested_file_is_refused() {
    for open in ["[", "{\"a\":", "/*", "{\"grants\":["] {
        evaluate(&open.repeat(100_000));
    }
}
