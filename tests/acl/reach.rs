//! The table of sources that reach the node, and its warnings.

use remote_ollama_proxy::acl::{Addresses, Device, Report, Target, WarningKind};
use remote_ollama_proxy::config::CAPABILITY;
use remote_ollama_proxy::policy::AccessMode;

use crate::admits::with;

fn target(device: Device) -> Target {
    Target {
        device,
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

fn server() -> Target {
    target(Device::tagged(["tag:server"]))
}

/// One line per source: the source, its entries and its values.
fn rows(report: &Report) -> Vec<String> {
    let row = |row: &remote_ollama_proxy::acl::Reach| {
        let through: Vec<_> = row.through.iter().map(|o| format!("{}{}", o.section, o.index)).collect();
        let values: Vec<_> = row.capabilities.iter().map(|c| c.value.to_string()).collect();
        let perhaps = if row.perhaps.is_empty() { "" } else { "?" };
        format!("{}{perhaps} {} {}", row.source, through.join("+"), values.join("+")).trim_end().to_owned()
    };
    report.reach.iter().map(row).collect()
}

fn warnings(report: &Report) -> Vec<WarningKind> {
    // The files here are too short to have tests.
    report.warnings.iter().map(|w| w.kind).filter(|kind| *kind != WarningKind::NoTests).collect()
}

#[test]
fn every_source_has_a_row() {
    let app = |values: &str| format!(r#""app": {{"{CAPABILITY}": [{values}]}}"#);
    let to = |src: &str, more: &str| format!(r#"{{"src": [{src}], "dst": ["tag:server"], {more}}}"#);
    let tcp = r#""ip": ["tcp:11434"]"#;
    for (grants, want) in [
        (vec![to(r#""tag:client""#, tcp)], vec!["tag:client grants0"]),
        (vec![to(r#""tag:client", "group:dev""#, tcp)], vec!["tag:client grants0", "group:dev grants0"]),
        (vec![to(r#""tag:client""#, r#""ip": ["tcp:22", "udp:11434"]"#)], vec![]),
        (vec![to(r#""tag:client""#, r#""ip": ["443", "*"]"#)], vec!["tag:client grants0"]),
        // Entries add up, and so do values.
        (
            vec![
                to(r#""tag:client""#, tcp),
                to(r#""autogroup:tagged""#, &format!("{tcp}, {}", app(r#"{"a":1},{"b":2}"#))),
            ],
            vec![
                r#"tag:client grants0+grants1 {"a":1}+{"b":2}"#,
                r#"autogroup:tagged grants1 {"a":1}+{"b":2}"#,
            ],
        ),
        // A capability may be in another entry than the connection, and for a part of a source only.
        (
            vec![to(r#""group:dev""#, tcp), to(r#""anna@example.com""#, &app("{}"))],
            vec!["group:dev grants0", "anna@example.com grants0 {}"],
        ),
        // A user in several groups has a row of their own if that gives more than each group.
        (
            vec![to(r#""group:dev""#, tcp), to(r#""group:ops""#, &format!("{tcp}, {}", app("{}")))],
            vec!["group:dev grants0", "group:ops grants1 {}", "anna@example.com grants0+grants1 {}"],
        ),
        (
            vec![to(r#""user:*@example.com""#, tcp), to(r#""group:dev""#, &app("{}"))],
            vec!["user:*@example.com grants0", "group:dev grants0 {}"],
        ),
        (
            vec![to(r#""100.64.0.0/24""#, tcp), to(r#""100.64.0.7""#, &app("{}"))],
            vec!["100.64.0.0/24 grants0", "100.64.0.7 grants0 {}"],
        ),
        (vec![to(r#""*""#, &app("{}")), to(r#""tag:client""#, tcp)], vec!["tag:client grants1 {}"]),
        // Sources that the file does not decide.
        (vec![format!(r#"{{"src": ["tag:client"], "dst": ["lab"], {tcp}}}"#)], vec!["tag:client? grants0"]),
        (
            vec![format!(r#"{{"src": ["tag:client"], "dst": ["ipset:lab"], {tcp}}}"#)],
            vec!["tag:client? grants0"],
        ),
        (vec![format!(r#"{{"src": ["tag:client"], "dst": ["ipset:office"], {tcp}}}"#)], vec![]),
        (
            vec![to(r#""ipset:lab""#, tcp), to(r#""100.64.7.9""#, &app("{}"))],
            vec!["ipset:lab grants0", "100.64.7.9 grants0 {}"],
        ),
        (
            vec![to(r#""tag:client""#, &format!(r#"{tcp}, "srcPosture": ["posture:x"]"#))],
            vec!["tag:client? grants0"],
        ),
        (vec![to(r#""ipset:office""#, tcp)], vec!["ipset:office grants0"]),
        // An empty group.
        (vec![to(r#""group:none""#, tcp)], vec![]),
        (
            vec![format!(r#"{{"src": ["tag:client"], "dst": ["*", "192.0.2.0/24"], {tcp}}}"#)],
            vec!["tag:client grants0"],
        ),
        (
            vec![format!(r#"{{"src": ["autogroup:member"], "dst": ["autogroup:self", "svc:x"], {tcp}}}"#)],
            vec![],
        ),
    ] {
        let text = format!(
            r#""groups": {{"group:dev": ["anna@example.com", "ben@example.com"], "group:none": [],
            "group:ops": ["anna@example.com", "carl@example.com"]}}, "hosts": {{"lab": "100.64.7.0/24"}},
            "postures": {{"posture:x": []}}, "ipsets": {{"ipset:office": ["192.0.2.0/24"],
            "ipset:lab": ["add host:lab", "remove 100.64.7.0/29"]}},
            "tagOwners": {{"tag:server": [], "tag:client": []}}, "grants": [{}]"#,
            grants.join(",")
        );
        let policy = remote_ollama_proxy::acl::parse(&format!("{{{text}}}")).unwrap();
        assert_eq!(rows(&policy.reach(&server())), want, "{grants:?}");
    }
}

#[test]
fn acls_count_as_grants_and_a_known_address_decides() {
    let policy =
        with(r#""acls": [{"action": "accept", "src": ["tag:client"], "dst": ["tag:ci:1", "lab:11434,22"]}]"#);
    assert_eq!(rows(&policy.reach(&server())), ["tag:client? acls0"]);
    for (address, want) in [("100.64.7.1", vec!["tag:client acls0"]), ("100.64.8.1", vec![])] {
        let device = Device::tagged(["tag:server"]).with(Addresses::Known(vec![address.parse().unwrap()]));
        assert_eq!(rows(&policy.reach(&target(device))), want, "{address}");
    }
}

#[test]
fn node_of_a_user_is_reached_as_that_user() {
    let policy = with(
        r#""grants": [{"src": ["anna@example.com", "autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"]},
                      {"src": ["tag:client"], "dst": ["group:dev"], "ip": ["tcp:11434"]}]"#,
    );
    let report = policy.reach(&target(Device::of_user("anna@example.com")));
    assert_eq!(rows(&report)[0], "anna@example.com grants0");
    assert!(rows(&report).contains(&"tag:client grants1".to_owned()), "{report:?}");
}

#[test]
fn what_is_too_wide_is_said() {
    use WarningKind::*;
    let grant =
        |src: &str, ip: &str| format!(r#"{{"src": ["{src}"], "dst": ["tag:server"], "ip": ["{ip}"]}}"#);
    let tcp = "tcp:11434";
    let app = |src: &str, name: &str, value: &str| {
        format!(r#"{{"src": ["{src}"], "dst": ["tag:server"], "app": {{"{name}": [{value}]}}}}"#)
    };
    let fine = grant("tag:client", tcp);
    for (grants, want) in [
        (fine.clone(), vec![]),
        (grant("group:dev", tcp), vec![]),
        (grant("anna@example.com", tcp), vec![]),
        (grant("autogroup:admin", tcp), vec![]),
        (grant("printer", tcp), vec![]),
        (grant("autogroup:member", tcp), vec![WideSource]),
        (grant("user:*@example.com", tcp), vec![WideSource]),
        (grant("autogroup:shared", tcp), vec![WideSource]),
        (grant("lab", tcp), vec![WideSource, ReachesOthers]),
        // The node is in the source as well.
        (grant("*", tcp), vec![WholeTailnet, ReachesOthers]),
        (grant("0.0.0.0/0", tcp), vec![WholeTailnet, ReachesOthers]),
        (grant("100.64.0.0/10", tcp), vec![WholeTailnet, ReachesOthers]),
        (grant("fd7a:115c:a1e0::/48", tcp), vec![WholeTailnet, ReachesOthers]),
        (grant("100.64.0.0/11", tcp), vec![WideSource, ReachesOthers]),
        (grant("autogroup:tagged", tcp), vec![WideSource, ReachesOthers]),
        // Two halves that together are every device, in one entry and in two, and almost so.
        (
            grant("autogroup:member\", \"autogroup:tagged", tcp),
            vec![WholeTailnet, WideSource, WideSource, ReachesOthers],
        ),
        (
            grant("100.64.0.0/11\", \"100.96.0.0/11", tcp),
            vec![WholeTailnet, WideSource, WideSource, ReachesOthers],
        ),
        (
            format!("{}, {}", grant("fd7a:115c:a1e0:8000::/49", tcp), grant("fd7a:115c:a1e0::/49", tcp)),
            vec![WholeTailnet, WideSource, WideSource, ReachesOthers, ReachesOthers],
        ),
        (
            format!("{}, {}", grant("autogroup:tagged", tcp), grant("autogroup:member", "tcp:22")),
            vec![WideSource, OtherPorts, ReachesOthers],
        ),
        (
            format!("{}, {}", grant("100.64.0.0/11", tcp), grant("100.96.0.1-100.127.255.255", tcp)),
            vec![WideSource, WideSource, ReachesOthers, ReachesOthers],
        ),
        (grant("tag:client", "11434"), vec![OtherPorts]),
        (grant("tag:client", "tcp:11434-11435"), vec![OtherPorts]),
        (grant("tag:client", "*"), vec![OtherPorts]),
        (format!("{fine}, {}", grant("tag:ci", "tcp:22")), vec![OtherPorts]),
        (format!("{fine}, {}", grant("tag:ci", "icmp:*")), vec![OtherPorts]),
        (grant("group:none", tcp), vec![Unreachable, EmptyGroup]),
        ("".to_owned(), vec![Unreachable]),
        (
            format!(r#"{fine}, {{"src": ["tag:server"], "dst": ["autogroup:internet"], "ip": ["*"]}}"#),
            vec![ReachesOthers],
        ),
        // Values without a connection, of the wrong shape, or under the wrong name.
        (format!("{fine}, {}", app("tag:client", CAPABILITY, "{}")), vec![]),
        (format!("{fine}, {}", app("tag:ci", CAPABILITY, "{}")), vec![CapabilityWithoutNetwork]),
        (format!("{fine}, {}", app("tag:client", CAPABILITY, "[]")), vec![InvalidValue]),
        (
            format!(
                "{fine}, {}",
                app("tag:client", CAPABILITY, r#"{}, {"endpoints": ["api_pull"]}, {"max": 1}"#)
            ),
            vec![InvalidValue, InvalidValue],
        ),
        (
            format!("{fine}, {}", app("tag:client", "remote-ollama-proxy.internal/cap/olama", "{}")),
            vec![UnknownCapability],
        ),
        (format!("{fine}, {}", app("tag:client", "example.com/cap/ollama", "{}")), vec![UnknownCapability]),
        (format!("{fine}, {}", app("tag:client", "example.com/cap/other", "{}")), vec![]),
        // Rules about other nodes.
        (format!(r#"{fine}, {{"src": ["*"], "dst": ["tag:ci"], "ip": ["*"]}}"#), vec![ReachesOthers]),
        (format!(r#"{fine}, {{"src": ["autogroup:member"], "dst": ["tag:ci"], "ip": ["*"]}}"#), vec![]),
    ] {
        let report = with(&format!(r#""grants": [{grants}]"#)).reach(&server());
        assert_eq!(warnings(&report), want, "{grants}: {:?}", report.warnings);
    }
}

#[test]
fn tag_without_owner_and_unknown_section_are_warned_of() {
    let policy = with(r#""grants": [], "newSection": {}"#);
    let report = policy.reach(&target(Device::tagged(["tag:other"])));
    assert_eq!(
        warnings(&report),
        [WarningKind::TagWithoutOwner, WarningKind::Unreachable, WarningKind::NotJudged]
    );
    assert!(report.warnings.iter().any(|w| w.kind == WarningKind::NoTests));
    let text: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
    assert!(text.iter().any(|t| t.contains("tag:other is not in tagOwners")), "{text:?}");
    assert!(text.iter().any(|t| t.contains("line 6: unknown section newSection")), "{text:?}");
}

#[test]
fn grants_are_merged_as_in_the_proxy() {
    let values = r#"{"endpoints": ["api_tags"], "max_concurrent": 1}, {"endpoints": ["v1_models"], "max_concurrent": 3}"#;
    let policy = with(&format!(
        r#""grants": [{{"src": ["tag:client"], "dst": ["tag:server"], "ip": ["tcp:11434"], "app": {{"{CAPABILITY}": [{values}]}}}},
            {{"src": ["tag:ci"], "dst": ["tag:server"], "ip": ["tcp:11434"]}}]"#
    ));
    let rights = |access| {
        let rows = policy.reach(&Target { access, ..server() }).reach;
        rows.iter().map(|row| row.rights.as_ref().map(ToString::to_string)).collect::<Vec<_>>()
    };
    let narrowed = Some("v1_models, api_tags; at most 3 at once".to_owned());
    assert_eq!(rights(AccessMode::Network), [narrowed.clone(), Some("whatever the node allows".to_owned())]);
    assert_eq!(rights(AccessMode::Grants), [narrowed, None]);
}
