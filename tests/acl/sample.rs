//! The sample policy: whom it admits, and that its own tests detect every way to widen it.

use remote_ollama_proxy::acl::{
    ControlServer, Device, Reach, Target, TestVerdict, WarningKind, lines, parse,
};
use remote_ollama_proxy::config::CAPABILITY;
use remote_ollama_proxy::policy::{AccessMode, PageRight};
use serde_json::{Value, json};

const SAMPLE: &str = include_str!("../../acl/policy.hujson");
const TAGS: [&str; 3] = ["tag:ai-server", "tag:ai-client", "tag:ai-ci"];
const SOURCES: [&str; 4] = ["tag:ai-client", "group:ai-admins", "tag:ai-ci", "group:ai-guests"];

pub(crate) fn target() -> Target {
    Target {
        device: Device::tagged([TAGS[0]]),
        service: None,
        port: 11434,
        https: None,
        metrics: None,
        page: None,
        setup: false,
        capability: CAPABILITY.to_owned(),
        access: AccessMode::Network,
    }
}

fn sample() -> Value {
    plain(SAMPLE)
}

/// A sample as plain JSON: none of its texts contains // or a comma before a closing bracket.
pub(crate) fn plain(sample: &str) -> Value {
    let lines: Vec<_> =
        sample.lines().map(|line| line.split("//").next().unwrap_or_default().trim()).collect();
    let mut text = lines.concat();
    for close in ["]", "}"] {
        text = text.replace(&format!(",{close}"), close);
    }
    serde_json::from_str(&text).unwrap()
}

/// Whether the file is refused, or one of its own tests fails for sure.
fn noticed(policy: &Value) -> bool {
    parse(&policy.to_string())
        .map_or(true, |policy| policy.failures().iter().any(|failure| failure.verdict == TestVerdict::Fails))
}

#[test]
fn sample_admits_its_sources_without_warnings() {
    let policy = parse(SAMPLE).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(policy.failures(), []);
    let report = policy.reach(&target());
    assert_eq!(report.warnings, []);
    assert_eq!(report.reach.iter().map(|row| row.source.as_str()).collect::<Vec<_>>(), SOURCES);
    let ci = &report.reach[2].capabilities;
    assert_eq!(
        ci.iter().map(|c| &c.value).collect::<Vec<_>>(),
        [
            &json!({"endpoints": ["v1_chat_completions", "v1_models"], "max_concurrent": 2, "requests_per_minute": 60})
        ]
    );
    assert!(report.reach[..2].iter().all(|row| row.capabilities.is_empty()));
    for line in SAMPLE.lines() {
        let code = line.split("//").next().unwrap();
        assert!(!code.contains('*'), "a wildcard: {line}");
    }
}

/// The sample with its examples for metrics and page.
fn with_examples() -> String {
    uncommented(SAMPLE)
}

/// A sample with its examples: the comment lines without a blank.
pub(crate) fn uncommented(sample: &str) -> String {
    let commented = |line: &&str| line.trim_start().strip_prefix("//").is_some_and(|l| !l.starts_with(' '));
    assert!(sample.lines().filter(commented).count() > 10);
    let line = |line: &str| if commented(&line) { line.replacen("//", "", 1) } else { line.to_owned() };
    sample.lines().map(|l| line(l) + "\n").collect()
}

#[test]
fn sample_examples_grant_metrics_to_one_tag_and_the_page_to_people() {
    let policy = parse(&with_examples()).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(policy.failures(), []);
    assert!(policy.expectations() > parse(SAMPLE).unwrap().expectations());
    let report = policy.reach(&Target { metrics: Some(9090), page: Some(80), ..target() });
    assert_eq!(report.warnings, []);
    assert_eq!(report.reach.iter().map(|row| row.source.as_str()).collect::<Vec<_>>(), SOURCES);
    let readers: Vec<_> = report.metrics.iter().map(|row| (row.source.as_str(), &row.rights)).collect();
    let [("tag:ai-metrics", Some(rights))] = readers[..] else { panic!("{readers:?}") };
    assert!(rights.metrics && rights.endpoints == Some(Vec::new()), "{rights:?}");
    let sees = |row: &Reach| (row.source.clone(), row.rights.as_ref().and_then(|rights| rights.page));
    assert_eq!(
        report.page.iter().map(sees).collect::<Vec<_>>(),
        [
            ("group:ai-admins".to_owned(), Some(PageRight::Admin)),
            ("group:ai-guests".to_owned(), Some(PageRight::View)),
        ]
    );
    // The sources have the same rights as before.
    let plain = parse(SAMPLE).unwrap().reach(&target());
    let asks = |row: &Reach| row.rights.as_ref().map(|rights| rights.to_string());
    assert_eq!(
        report.reach.iter().map(asks).collect::<Vec<_>>(),
        plain.reach.iter().map(asks).collect::<Vec<_>>()
    );
    // For a node without these ports, the report warns of unused entries.
    let kinds: Vec<_> = policy.reach(&target()).warnings.iter().map(|w| w.kind).collect();
    assert_eq!(
        kinds,
        [
            WarningKind::OtherPorts,
            WarningKind::CapabilityWithoutNetwork,
            WarningKind::OtherPorts,
            WarningKind::OtherPorts
        ]
    );
}

/// Clients reach the set-up by an edit of their entry, without the test that denies them its port.
#[test]
fn sample_says_how_clients_reach_the_set_up() {
    let open = r#""ip":  ["tcp:11434", "tcp:80"]"#;
    let opened = with_examples().replacen(r#""ip":  ["tcp:11434"]"#, open, 1);
    let mut policy = plain(&opened);
    assert!(noticed(&policy));
    let denies = json!({"src": "tag:ai-client", "proto": "tcp", "deny": ["tag:ai-server:80"]});
    policy["tests"].as_array_mut().unwrap().retain(|test| *test != denies);
    let policy = parse(&policy.to_string()).unwrap();
    assert_eq!(policy.failures(), []);
    let report = policy.reach(&Target { page: Some(80), setup: true, ..target() });
    assert!(report.page.iter().any(|row| row.source == "tag:ai-client"), "{:?}", report.page);
}

/// Tailscale refuses any other protocol with "test protocol must be tcp, udp, sctp, or empty", and port 0.
#[test]
fn sample_tests_use_only_protocols_and_ports_that_tailscale_tests() {
    for test in sample()["tests"].as_array().unwrap() {
        let protocol = test.get("proto").and_then(Value::as_str).unwrap_or_default();
        assert!(["", "tcp", "udp", "sctp"].contains(&protocol), "{test}");
        for target in ["accept", "deny"].iter().filter_map(|key| test[key].as_array()).flatten() {
            let port: u16 = target.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
            assert_ne!(port, 0, "{test}");
        }
    }
    let mut with_ping = sample();
    let ping = json!({"src": "tag:ai-server", "proto": "icmp", "deny": ["tag:ai-client:1"]});
    with_ping["tests"].as_array_mut().unwrap().push(ping);
    assert!(parse(&with_ping.to_string()).is_err());
}

#[test]
fn sample_is_the_same_as_plain_json() {
    let plain = sample();
    assert!(!noticed(&plain));
    assert_eq!(plain["grants"].as_array().unwrap().len(), SOURCES.len());
    assert!(plain["tests"].as_array().unwrap().len() > SOURCES.len());
}

#[test]
fn sample_tests_detect_every_widened_grant() {
    let mut tried = 0;
    for i in 0..SOURCES.len() {
        let mut mutate = |what: &str, change: &dyn Fn(&mut Value)| {
            let mut policy = sample();
            change(&mut policy["grants"][i]);
            if policy != sample() {
                tried += 1;
                assert!(noticed(&policy), "grants[{i}]: {what} goes unnoticed: {}", policy["grants"][i]);
            }
        };
        let push = |list: &mut Value, item: &str| list.as_array_mut().unwrap().push(item.into());
        for source in
            ["*", "autogroup:member", "autogroup:tagged", "user:*@example.com", TAGS[0], "0.0.0.0/0"]
        {
            mutate("a wider source", &|grant| grant["src"] = json!([source]));
            mutate("a further source", &|grant| push(&mut grant["src"], source));
        }
        for dst in ["*", "autogroup:tagged", TAGS[1], TAGS[2], "100.64.0.0/10"] {
            mutate("a wider destination", &|grant| grant["dst"] = json!([dst]));
            mutate("a further destination", &|grant| push(&mut grant["dst"], dst));
        }
        for ip in ["*", "tcp:*", "11434", "udp:11434", "tcp:22", "tcp:443", "tcp:1-65535", "tcp:11435"] {
            mutate("other traffic", &|grant| grant["ip"] = json!([ip]));
        }
        for ip in ["*", "udp:11434", "tcp:22", "tcp:443", "tcp:1-65535"] {
            mutate("further traffic", &|grant| push(&mut grant["ip"], ip));
        }
        for source in SOURCES.iter().chain(&TAGS).filter(|source| **source != SOURCES[i]) {
            mutate("a swapped source", &|grant| grant["src"] = json!([source]));
        }
        mutate("a source that is no more", &|grant| grant["src"] = json!([]));
        mutate("no connection", &|grant| {
            grant.as_object_mut().unwrap().remove("ip");
        });
        mutate("the way round", &|grant| {
            let (src, dst) = (grant["src"].clone(), grant["dst"].clone());
            grant["src"] = dst;
            grant["dst"] = src;
        });
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn sample_tests_detect_an_added_or_missing_grant() {
    for i in 0..SOURCES.len() {
        let mut policy = sample();
        policy["grants"].as_array_mut().unwrap().remove(i);
        assert!(noticed(&policy), "without grants[{i}]");
    }
    for further in [
        json!({"src": ["*"], "dst": ["*"], "ip": ["*"]}),
        json!({"src": ["autogroup:member"], "dst": ["autogroup:tagged"], "ip": ["*"]}),
        json!({"src": ["autogroup:member"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]}),
        json!({"src": ["tag:ai-server"], "dst": ["*"], "ip": ["*"]}),
        json!({"src": ["tag:ai-server"], "dst": ["group:ai-admins"], "ip": ["tcp:22"]}),
        json!({"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:22"]}),
    ] {
        let mut policy = sample();
        policy["grants"].as_array_mut().unwrap().push(further.clone());
        assert!(noticed(&policy), "{further}");
    }
    let mut policy = sample();
    policy["acls"] = json!([{"action": "accept", "src": ["*"], "dst": ["*:*"]}]);
    assert!(noticed(&policy), "with Tailscale's first policy added");
    policy.as_object_mut().unwrap().remove("acls");
    policy["groups"]["group:ai-admins"] = json!(["bob@example.com"]);
    assert!(noticed(&policy), "another user is an admin");
}

#[test]
fn sample_without_guests_is_valid() {
    let mut policy = sample();
    policy["groups"]["group:ai-guests"] = json!([]);
    let policy = parse(&policy.to_string()).unwrap();
    assert_eq!(policy.failures(), []);
    let report = policy.reach(&target());
    assert_eq!(report.reach.iter().map(|row| row.source.as_str()).collect::<Vec<_>>(), SOURCES[..3]);
    assert_eq!(report.warnings.iter().map(|w| w.kind).collect::<Vec<_>>(), [WarningKind::EmptyGroup]);
}

#[test]
fn printed_policy_is_valid_and_closed() {
    for (tag, port, https, metrics, page, access) in [
        ("tag:ai-server", 11434, None, None, None, AccessMode::Network),
        ("tag:gpu-1", 22, None, Some(80), Some(443), AccessMode::Grants),
        ("tag:x", 80, Some(443), Some(9090), None, AccessMode::Network),
        ("tag:y", 443, None, Some(22), Some(80), AccessMode::Grants),
        ("tag:z", 11434, Some(443), None, Some(80), AccessMode::Network),
    ] {
        let target = Target { device: Device::tagged([tag]), port, https, metrics, page, access, ..target() };
        let lines = lines(tag, &target, ControlServer::Tailscale);
        let policy = parse(&lines.hujson()).unwrap_or_else(|faults| panic!("{faults}\n{}", lines.hujson()));
        assert_eq!(policy.failures(), []);
        let report = policy.reach(&target);
        assert_eq!(report.warnings, []);
        let sources: Vec<_> = report.reach.iter().map(|row| row.source.as_str()).collect();
        assert_eq!(sources, ["tag:ai-client", "tag:ai-ci"]);
        // The first one may request whatever the node allows.
        assert!(report.reach[0].rights.as_ref().is_some_and(|rights| rights.endpoints.is_none()));
        let readers: Vec<_> = report.metrics.iter().map(|row| (row.source.as_str(), &row.rights)).collect();
        match (metrics, &readers[..]) {
            (None, []) => {}
            (Some(_), [("tag:ai-metrics", Some(rights))]) => {
                assert!(rights.metrics && rights.endpoints == Some(Vec::new()), "{rights:?}");
            }
            _ => panic!("{readers:?}"),
        }
        let viewers: Vec<_> = report.page.iter().map(|row| (row.source.as_str(), &row.rights)).collect();
        match (page, &viewers[..]) {
            (None, []) => {}
            (Some(_), [("tag:ai-page", Some(rights))]) => {
                assert!(
                    rights.page == Some(PageRight::Admin) && rights.endpoints == Some(Vec::new()),
                    "{rights:?}"
                );
            }
            _ => panic!("{viewers:?}"),
        }
        for i in 0..lines.grants.len() {
            for (key, wide) in [("src", "*"), ("dst", "*"), ("ip", "*")] {
                let mut policy = json!(lines);
                policy["grants"][i][key] = json!([wide]);
                assert!(noticed(&policy), "{key} of grants[{i}]");
            }
        }
    }
}
