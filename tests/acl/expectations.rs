//! The file's own tests: when they fail, and when they stay undecided.

use remote_ollama_proxy::acl::TestVerdict;

use crate::admits::with;

/// The result of a test with these grants: `""` for a pass, or `fails` or `can't tell` with the reason.
fn outcome(grants: &str, test: &str) -> String {
    let policy = with(&format!(r#""grants": [{grants}], "tests": [{{{test}}}]"#));
    let failures = policy.failures();
    let verdict = |f: &remote_ollama_proxy::acl::Failure| match f.verdict {
        TestVerdict::Fails => format!("fails: {}", f.reason),
        TestVerdict::CantTell => format!("can't tell: {}", f.reason),
    };
    failures.iter().map(verdict).collect::<Vec<_>>().join("\n")
}

#[test]
fn policy_tests_pass_and_fail_as_tailscale_documents() {
    let tcp = r#"{"src": ["tag:client", "anna@example.com"], "dst": ["tag:server"], "ip": ["tcp:53"]}"#;
    let udp = r#"{"src": ["tag:client"], "dst": ["tag:server"], "ip": ["udp:53"]}"#;
    let lab = r#"{"src": ["lab"], "dst": ["tag:server", "printer"], "ip": ["tcp:53"]}"#;
    let service = r#"{"src": ["tag:client"], "dst": ["svc:web"], "ip": ["tcp:53"]}"#;
    let posture =
        r#"{"src": ["tag:client"], "dst": ["tag:server"], "ip": ["*"], "srcPosture": ["posture:x"]}"#;
    for (grants, test, want) in [
        (tcp, r#""src": "tag:client", "accept": ["tag:server:53"]"#, ""),
        (tcp, r#""src": "tag:client", "allow": ["tag:server:53"]"#, ""),
        (tcp, r#""src": "tag:client", "deny": ["tag:server:54", "tag:ci:53", "tag:client:53"]"#, ""),
        (
            tcp,
            r#""src": "tag:client", "deny": ["tag:server:53"]"#,
            "fails: tag:client → tag:server:53: tag:client reaches tag:server, and must not",
        ),
        (
            tcp,
            r#""src": "tag:ci", "accept": ["tag:server:53"]"#,
            "fails: tag:ci → tag:server:53: tag:ci does not reach tag:server, and must",
        ),
        // Without proto, both TCP and UDP.
        (udp, r#""src": "tag:client", "accept": ["tag:server:53"]"#, ""),
        (udp, r#""src": "tag:client", "deny": ["tag:server:53"]"#, "fails"),
        (udp, r#""src": "tag:client", "proto": "tcp", "deny": ["tag:server:53"]"#, ""),
        (udp, r#""src": "tag:client", "proto": "17", "deny": ["tag:server:53"]"#, "fails"),
        (
            udp,
            r#""src": "tag:client", "proto": "UDP", "accept": ["tag:server:53"], "deny": ["tag:ci:53"]"#,
            "",
        ),
        // A group is each of its members, at both ends.
        (tcp, r#""src": "group:dev", "accept": ["tag:server:53"]"#, "fails: group:dev → tag:server:53: ben@"),
        (tcp, r#""src": "group:dev", "deny": ["tag:server:53"]"#, "fails: group:dev → tag:server:53: anna@"),
        (
            r#"{"src": ["tag:client"], "dst": ["ben@example.com"], "ip": ["*"]}"#,
            r#""src": "tag:client", "deny": ["group:dev:1"]"#,
            "fails: tag:client → group:dev:1: tag:client reaches ben@example.com",
        ),
        // Hosts and addresses.
        (lab, r#""src": "100.64.7.3", "accept": ["tag:server:53", "printer:53", "100.64.0.77:53"]"#, ""),
        (lab, r#""src": "192.0.2.1", "deny": ["tag:server:53"]"#, ""),
        (lab, r#""src": "100.64.9.9", "deny": ["tag:server:53"]"#, ""),
        (tcp, r#""src": "100.64.9.9", "deny": ["tag:server:53"]"#, "can't tell"),
        // An undecided test does not pass.
        (
            posture,
            r#""src": "tag:client", "deny": ["tag:server:1"]"#,
            "can't tell: tag:client → tag:server:1: srcPosture posture:x is not evaluated here",
        ),
        (posture, r#""src": "tag:ci", "deny": ["tag:server:1"]"#, ""),
        (tcp, r#""src": "group:none", "accept": ["tag:server:1"], "deny": ["tag:server:53"]"#, ""),
        (tcp, r#""src": "group:ops@example.com", "deny": ["tag:server:1"]"#, "can't tell"),
        // A Service is a destination by itself.
        (service, r#""src": "tag:client", "accept": ["svc:web:53"], "deny": ["svc:web:54", "svc:x:53"]"#, ""),
        (
            service,
            r#""src": "tag:client", "deny": ["svc:web:53"]"#,
            "fails: tag:client → svc:web:53: tag:client",
        ),
        (service, r#""src": "tag:client", "accept": ["tag:server:53"]"#, "fails"),
        (tcp, r#""src": "tag:client", "deny": ["svc:web:53"]"#, ""),
    ] {
        let got = outcome(grants, test);
        let fits = if want.is_empty() { got.is_empty() } else { got.starts_with(want) };
        assert!(fits, "{test}:\n  got  {got:?}\n  want {want:?}");
    }
}

#[test]
fn failed_policy_tests_name_their_line() {
    let policy = with(
        r#""grants": [], "tests": [
            {"src": "tag:client", "deny": ["tag:server:1"]},
            {"src": "tag:client", "accept": ["tag:server:1",
                "tag:server:2"]}]"#,
    );
    let places: Vec<_> = policy.failures().iter().map(ToString::to_string).collect();
    assert_eq!(policy.expectations(), 3);
    assert_eq!(
        places,
        [
            "line 8: tests[1].accept[0]: fails: tag:client → tag:server:1: tag:client does not reach tag:server, \
             and must",
            "line 9: tests[1].accept[1]: fails: tag:client → tag:server:2: tag:client does not reach tag:server, \
             and must"
        ]
    );
}
