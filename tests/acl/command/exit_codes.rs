//! The exit codes of `acl --check`.

use super::*;

#[test]
fn faults_of_a_policy_exit_with_1() {
    for (policy, parts) in [
        (
            "{\n\"grants\": [{\"src\": [\"tag:x\"], \"dst\": [\"tag:y\"], \"ip\": [\"z\"]}]}",
            &["line 2: grants[0].src[0] = \"tag:x\"", "grants[0].ip[0]", "3 faults"][..],
        ),
        (
            r#"{"tagOwners": {"tag:ai-server": []}, "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
                "tests": [{"src": "anna@example.com", "deny": ["tag:ai-server:11434"]}]}"#,
            &["own tests fail: 1 of 1", "tests[0].deny[0]: fails", "every device of the tailnet", "warnings"],
        ),
        (
            r#"{"tagOwners": {"tag:ai-server": []}, "postures": {"posture:x": []},
                "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "srcPosture": ["posture:x"]}],
                "tests": [{"src": "anna@example.com", "deny": ["tag:ai-server:11434"]}]}"#,
            &["can't tell", "perhaps: srcPosture posture:x is not evaluated here"],
        ),
        (
            r#"{"tagOwners": {"tag:ai-server": []}, "grants": [{"src": ["a@b.c"], "dst": ["tag:ai-server"],
                "ip": ["tcp:11434"], "app": {"remote-ollama-proxy.internal/cap/ollama": ["all"]}}]}"#,
            &[
                "invalid value, which grants nothing: want an object",
                "(grant=\"all\")",
                "may request nothing: every grant is invalid",
            ],
        ),
        // The policy of a new tailnet. No test of the file fails, and it admits every device.
        (
            r#"{"tagOwners": {"tag:ai-server": []}, "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}"#,
            &["  *  through grants[0]", "* admits every device of the tailnet"],
        ),
        // No single entry admits every device.
        (
            r#"{"tagOwners": {"tag:ai-server": []}, "grants": [
                {"src": ["autogroup:member"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]},
                {"src": ["autogroup:tagged"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]}]}"#,
            &["autogroup:member, autogroup:tagged together admit every device of the tailnet"],
        ),
    ] {
        let output = acl("", &["--check", "-"], policy);
        assert_eq!(output.status.code(), Some(1), "{policy}");
        for part in parts {
            assert!(text(&output).contains(part), "{part}: {}", text(&output));
        }
    }
    let missing = acl("", &["--check", "/nowhere/policy.hujson"], "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("read /nowhere/policy.hujson: "));
    assert_eq!(acl("listen.port = 0\n", &[], "").status.code(), Some(78));
}

#[test]
fn ip_sets_count_as_their_addresses() {
    let service = "node.service = \"svc:ollama\"\nnode.tags = [\"tag:ai-server\"]\n";
    let all = r#""ipset:all": ["100.64.0.0/10", "fd7a:115c:a1e0::/48"]"#;
    let every = "ipset:all admits every device with such an address";
    for (config, dst, sets, code, part) in [
        ("", "tag:ai-server", all.to_owned(), 1, every),
        (service, "svc:ollama", all.to_owned(), 1, every),
        // Nested sets, a host, and halves of the address space.
        (
            "",
            "tag:ai-server",
            r#""ipset:all": ["add ipset:b"], "ipset:b": ["ipset:c"], "ipset:c": ["add host:everything"]"#
                .to_owned(),
            1,
            every,
        ),
        ("", "tag:ai-server", r#""ipset:all": ["100.64.0.0/11", "100.96.0.0/11"]"#.to_owned(), 1, every),
        (
            "",
            "tag:ai-server",
            r#""ipset:all": ["add host:everything", "remove ipset:b", "add ipset:b"],
            "ipset:b": ["100.64.0.0/24"]"#
                .to_owned(),
            1,
            every,
        ),
        // Fewer than all devices.
        (
            "",
            "tag:ai-server",
            r#""ipset:all": ["add host:everything", "remove 100.64.0.7"]"#.to_owned(),
            0,
            every,
        ),
        (
            "",
            "tag:ai-server",
            r#""ipset:all": ["100.64.0.7", "100.64.0.9"]"#.to_owned(),
            0,
            "ipset:all  through",
        ),
        // No device.
        (
            "",
            "tag:ai-server",
            r#""ipset:all": ["add 100.64.0.7", "remove host:everything"]"#.to_owned(),
            65,
            "ipset:all is empty",
        ),
        (
            "",
            "tag:ai-server",
            r#""ipset:all": ["192.0.2.0/24", "autogroup:internet"]"#.to_owned(),
            65,
            "ipset:all is outside of the tailnet",
        ),
        (
            "",
            "tag:ai-server",
            r#""ipset:all": ["host:nothing"]"#.to_owned(),
            1,
            "unknown host; add it to hosts",
        ),
    ] {
        let policy = format!(
            r#"{{"tagOwners": {{"tag:ai-server": []}}, "hosts": {{"everything": "100.64.0.0/10"}}, "ipsets": {{{sets}}},
            "grants": [{{"src": ["ipset:all"], "dst": ["{dst}"], "ip": ["tcp:11434"]}}]}}"#
        );
        let output = acl(config, &["--check", "-"], &policy);
        assert_eq!(output.status.code(), Some(code), "{sets}: {}", text(&output));
        assert!(text(&output).contains(part), "{sets}: {part}: {}", text(&output));
    }
}

#[test]
fn policy_that_admits_no_device_has_its_own_exit_code() {
    let closed = r#"{"tagOwners": {"tag:ai-server": []}, "grants": []}"#;
    let output = acl("", &["--check", "-"], closed);
    assert_eq!(output.status.code(), Some(65));
    assert!(
        text(&output)
            .contains("no device can connect to port 11434; add a grant with \"dst\": [\"tag:ai-server\"]"),
        "{}",
        text(&output)
    );
    // A policy that is also faulty has the exit code of faults.
    let faulty = r#"{"grants": [], "tests": [{"src": "a@b.c", "accept": ["tag:ai-server:1"]}]}"#;
    assert_eq!(acl("", &["--check", "-"], faulty).status.code(), Some(1));
    // The proxy does not serve what the entries of a subnet open: it can't tell those clients apart.
    let subnet = r#"{"tagOwners": {"tag:ai-server": []},
        "grants": [{"src": ["10.1.0.0/16"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]}]}"#;
    let output = acl("", &["--check", "-"], subnet);
    assert_eq!(output.status.code(), Some(65));
    for part in [
        "  no device\n  refused: 10.1.0.0/16, through grants[0] (line 2): the proxy refuses clients of a subnet",
        "10.1.0.0/16 is outside of the tailnet",
    ] {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
}
