//! The `acl` command: its output and its exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs `acl` with this config and this standard input.
fn acl(config: &str, args: &[&str], input: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, format!("node.state_dir = {:?}\n{config}", dir.path().join("state"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    command.env_clear().arg("acl").arg("--config").arg(&file).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn sample() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/acl/policy.hujson").to_owned()
}

#[test]
fn without_arguments_acl_prints_a_policy_for_this_node() {
    let output = acl("", &[], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for part in ["\"tag:ai-server\": [", "tcp:11434", "remote-ollama-proxy.internal/cap/ollama", "\"tests\""]
    {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
    let own = acl("node.tags = [\"tag:gpu\"]\nlisten.port = 8080\n", &[], "");
    assert!(text(&own).contains("\"dst\": [\"tag:gpu\"]") && text(&own).contains("tcp:8080"), "{own:?}");
    let other = acl("access.capability = \"example.com/cap/x\"\naccess.mode = \"grants\"\n", &[], "");
    assert!(text(&other).contains("\"example.com/cap/x\""), "{other:?}");
    let strict = acl("access.mode = \"grants\"\n", &["--check", &sample()], "");
    assert!(text(&strict).contains("may request nothing: access.mode"), "{}", text(&strict));
    // What it prints it accepts, and lets the clients ask.
    for config in [
        "",
        "access.mode = \"grants\"\n",
        "access.mode = \"grants\"\nmetrics.port = 9090\npage.port = 80\n",
        "https.enabled = true\nmetrics.port = 9090\n",
        "https.enabled = true\nlisten.http = \"off\"\n",
        "https.enabled = true\nlisten.http = \"redirect\"\n",
    ] {
        let checked = acl(config, &["--check", "-"], &text(&acl(config, &[], "")));
        assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
        let report = text(&checked);
        assert!(
            report.contains("may request whatever the node allows") && !report.contains("warnings\n"),
            "{report}"
        );
        assert_eq!(report.contains("may read them"), config.contains("metrics"), "{report}");
        assert_eq!(report.contains("tcp:443"), config.contains("https"), "{report}");
        assert_eq!(report.contains("tcp:11434"), !config.contains("off"), "{report}");
    }
    let json: Value = serde_json::from_str(&text(&acl("", &["--json"], ""))).unwrap();
    assert_eq!(json["grants"][0]["dst"][0], "tag:ai-server");
    assert!(json["tagOwners"]["tag:ai-ci"].is_array() && json["tests"].is_array(), "{json}");
}

#[test]
fn valid_policy_is_shown_as_a_table() {
    let output = acl("", &["--check", &sample()], "");
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output);
    for part in [
        "who reaches tag:ai-server on tcp:11434",
        "  tag:ai-client    through grants[0] (line ",
        "members: alice@example.com",
        "may request v1_chat_completions, v1_models; at most 2 at once; at most 60 a minute",
        "may request whatever the node allows",
        "the file's own tests pass",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("warnings\n"), "{text}");
}

#[test]
fn metrics_port_has_its_own_table() {
    let grant = |tag: &str, more: &str| {
        format!("{{\"src\": [\"{tag}\"], \"dst\": [\"tag:ai-server\"], \"ip\": [\"tcp:9090\"]{more}}}")
    };
    let app =
        ", \"app\": {\"remote-ollama-proxy.internal/cap/ollama\": [{\"endpoints\": [], \"metrics\": true}]}";
    let policy = format!(
        "{{\"tagOwners\": {{\"tag:ai-server\": [], \"tag:a\": [], \"tag:b\": []}}, \"grants\": [{}, {}]}}",
        grant("tag:a", app),
        grant("tag:b", "")
    );
    let output = acl("metrics.port = 9090\n", &["--check", "-"], &policy);
    let report = text(&output);
    for part in [
        "who reaches tag:ai-server on tcp:11434\n  no device\n",
        "who reaches it on tcp:9090, for the metrics\n  tag:a  through grants[0] (line 1)\n         may read them\n",
        "may not read them: no grant has \"metrics\": true",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(!report.contains("is enough") && !report.contains("but can't connect"), "{report}");
    let json: Value =
        serde_json::from_str(&text(&acl("metrics.port = 9090\n", &["--check", "-", "--json"], &policy)))
            .unwrap();
    assert_eq!(json["metrics"][0]["rights"]["metrics"], true);
    assert_eq!(
        (&json["target"]["metrics_port"], &json["reach"]),
        (&Value::from(9090), &Value::Array(vec![]))
    );
}

#[test]
fn page_port_has_its_own_table() {
    let grant = |tag: &str, page: &str| {
        format!(
            "{{\"src\": [\"{tag}\"], \"dst\": [\"tag:ai-server\"], \"ip\": [\"tcp:80\"], \"app\": {{\"remote-ollama-proxy.internal/cap/ollama\": [{page}]}}}}"
        )
    };
    let policy = format!(
        "{{\"tagOwners\": {{\"tag:ai-server\": [], \"tag:a\": [], \"tag:b\": [], \"tag:c\": []}}, \"grants\": [{}, {}, {}]}}",
        grant("tag:a", "{\"endpoints\": [], \"page\": \"admin\"}"),
        grant("tag:b", "{\"page\": \"view\"}"),
        grant("tag:c", "{}"),
    );
    let report = text(&acl("page.port = 80\n", &["--check", "-"], &policy));
    for part in [
        "who reaches it on tcp:80, for the page\n",
        "tag:a  through grants[0] (line 1)\n         may see everything, and cancel requests\n",
        "may see what is about its own identity\n",
        "may not see it: no grant has \"page\"",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let json: Value =
        serde_json::from_str(&text(&acl("page.port = 80\n", &["--check", "-", "--json"], &policy))).unwrap();
    assert_eq!(
        (&json["target"]["page_port"], &json["page"][0]["rights"]["page"]),
        (&80.into(), &"admin".into())
    );
}

#[test]
fn json_shows_the_same_as_the_table() {
    let output = acl("", &["--check", &sample(), "--json"], "");
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(json["sound"], true);
    assert_eq!(json["reach"][2]["source"], "tag:ai-ci");
    assert_eq!(json["reach"][2]["capabilities"][0]["value"]["max_concurrent"], 2);
    assert_eq!(json["reach"][2]["through"][0]["entry"], "grants[2]");
    assert_eq!(json["tests"]["failures"], Value::Array(vec![]));
    assert_eq!(json["reach"][2]["rights"]["endpoints"][1], "v1_models");
    assert_eq!(json["reach"][0]["rights"]["endpoints"], Value::Null);
    let faulty: Value =
        serde_json::from_str(&text(&acl("", &["--check", "-", "--json"], "{\"grants\": 1}"))).unwrap();
    assert_eq!((&faulty["sound"], &faulty["faults"][0]["line"]), (&Value::Bool(false), &Value::from(1)));
}

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

const OPEN: &str = r#"{"tagOwners": {"tag:ai-server": [], "tag:gpu": []},
    "grants": [{"src": ["anna@example.com"], "dst": ["tag:gpu"], "ip": ["tcp:11434"]},
               {"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["tcp:11434"]}]}"#;

#[test]
fn node_comes_from_the_command_line_and_an_assumed_one_is_named() {
    let assumed = acl("", &["--check", "-"], OPEN);
    assert!(
        text(&assumed)
            .contains("the node is assumed to be tag:ai-server: no node has joined from the state folder /"),
        "{}",
        text(&assumed)
    );
    let asked_for = acl("node.tags = [\"tag:gpu\"]\n", &["--check", "-"], OPEN);
    assert_eq!(asked_for.status.code(), Some(0));
    assert!(
        text(&asked_for).contains("the node is assumed to be tag:gpu: node.tags says so"),
        "{}",
        text(&asked_for)
    );
    let tag = acl("", &["--check", "-", "--tag", "tag:gpu"], OPEN);
    assert_eq!(tag.status.code(), Some(0));
    assert!(text(&tag).contains("who reaches tag:gpu") && !text(&tag).contains("assumed"), "{}", text(&tag));
    // A user reaches their own node if autogroup:self is granted.
    let user = acl("", &["--check", "-", "--user", "Ben@example.com", "--json"], OPEN);
    let json: Value = serde_json::from_str(&text(&user)).unwrap();
    assert_eq!(
        (&json["target"]["assumed"], &json["target"]["user"]),
        (&Value::Null, &"Ben@example.com".into())
    );
    assert_eq!(json["reach"][0]["source"], "ben@example.com", "{json}");
    for args in [
        &["--tag", "gpu"][..],
        &["--user", "ben"],
        &["--user", "ben@"],
        &["--tag", "tag:gpu", "--user", "ben@example.com"],
    ] {
        assert_eq!(acl("", &[&["--check", "-"], args].concat(), OPEN).status.code(), Some(2), "{args:?}");
    }
}

/// The encoding of values in tailscale's state file (RFC 4648, section 4).
fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let quads = text.as_bytes().chunks(3).map(|bytes| {
        let bits =
            bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
        let digit = |i: usize| char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]);
        (0..4).map(|i| if i <= bytes.len() { digit(i) } else { '=' }).collect::<String>()
    });
    quads.collect()
}

#[test]
fn stored_owner_is_the_node() {
    for (owner, report) in
        [("anna@example.com", "who reaches anna@example.com"), ("tagged-devices", "does not say which")]
    {
        let state = tempfile::tempdir().unwrap();
        let login = serde_json::json!({"PrivateNodeKey": "privkey:01", "UserProfile": {"LoginName": owner}});
        let file = serde_json::json!({
            "_current-profile": base64("profile-1"),
            "profile-1": base64(&serde_json::json!({"Config": login}).to_string()),
        });
        std::fs::write(state.path().join("tailscaled.state"), file.to_string()).unwrap();
        let output = acl("", &["--state-dir", state.path().to_str().unwrap(), "--check", "-"], OPEN);
        assert!(text(&output).contains(report), "{owner}: {}", text(&output));
    }
}

#[test]
fn stored_owner_is_named_as_an_assumption() {
    let login =
        serde_json::json!({"PrivateNodeKey": "privkey:01", "UserProfile": {"LoginName": "anna@example.com"}});
    let file = serde_json::json!({
        "_current-profile": base64("profile-1"),
        "profile-1": base64(&serde_json::json!({"Config": login}).to_string()),
    });
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("tailscaled.state"), file.to_string()).unwrap();
    let args = ["--state-dir", state.path().to_str().unwrap(), "--check", "-"];
    for (config, part) in [
        ("", "the node is assumed to be anna@example.com: the node belonged to that user when it joined"),
        ("node.tags = [\"tag:gpu\"]\n", "when it joined, though node.tags asks for tag:gpu"),
    ] {
        let output = acl(config, &args, OPEN);
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
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

#[test]
fn hosted_service_counts_as_access_to_the_node() {
    let config = "node.service = \"svc:ollama\"\nnode.tags = [\"tag:gpu\"]\n";
    let policy = r#"{"tagOwners": {"tag:gpu": [], "tag:a": []}, "autoApprovers": {"services": {"svc:ollama": ["tag:gpu"]}},
        "grants": [{"src": ["tag:a"], "dst": ["svc:ollama"], "ip": ["tcp:11434"]}],
        "tests": [{"src": "tag:a", "accept": ["svc:ollama:11434"], "deny": ["tag:gpu:11434"]}]}"#;
    let output = acl(config, &["--check", "-"], policy);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let part = "who reaches svc:ollama, which it hosts, on tcp:11434\n  tag:a  through grants[0]";
    assert!(text(&output).contains(part), "{}", text(&output));
    let open = policy.replace("[\"tag:a\"], \"dst\"", "[\"*\"], \"dst\"").replace("\"deny\"", "\"accept\"");
    assert_eq!(
        acl(config, &["--check", "-"], &open).status.code(),
        Some(1),
        "every device, through the Service"
    );
    // The printed lines contain it too.
    let lines = acl(config, &[], "");
    assert!(text(&lines).contains("\"autoApprovers\""), "{}", text(&lines));
    let checked = acl(config, &["--check", "-"], &text(&lines));
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    assert!(text(&checked).contains("which it hosts, on tcp:11434\n  tag:ai-client"), "{}", text(&checked));
    assert!(!text(&checked).contains("warnings\n"), "{}", text(&checked));
}

#[test]
fn headscale_policies_are_read_in_their_own_dialect() {
    let config = "node.control_url = \"https://headscale.example.com\"\n";
    let policy = r##"{"groups": {"group:a": ["anna@"]}, "tagOwners": {"tag:ai-server": ["group:a"]},
        "acls": [{"#why": "for the models", "action": "accept", "src": ["group:a"], "dst": ["tag:ai-server:11434"]}],
        "tests": [{"src": "anna@", "accept": ["tag:ai-server:11434"]}]}"##;
    assert_eq!(acl("", &["--check", "-"], policy).status.code(), Some(1));
    let output = acl(config, &["--check", "-"], policy);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report = text(&output);
    assert!(
        report.contains(
            "if one of these test sources has no device: anna@. Run `headscale policy check` first"
        ),
        "{report}"
    );
    let empty = text(&acl(config, &["--check", "-"], r#"{"acls": []}"#));
    // Headscale accepts the printed policy: no autogroup owns a tag, and no test names a tag without a device.
    let lines = text(&acl(config, &[], ""));
    assert!(lines.contains("\"tag:ai-server\": [\"you@\"]") && !lines.contains("autogroup"), "{lines}");
    assert!(lines.contains("\t\t//{\n\t\t//\t\"src\": \"tag:ai-client\",\n"), "{lines}");
    assert!(
        lines.contains("Headscale refuses the file if") && !lines.contains("Tailscale refuses"),
        "{lines}"
    );
    let checked = acl(config, &["--check", "-"], &lines);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    assert!(text(&checked).contains("the file has no tests of its own"), "{}", text(&checked));
    let with_tests = acl(
        config,
        &["--check", "-"],
        &["{", "\t", "}"]
            .iter()
            .fold(lines.clone(), |all, next| all.replace(&format!("\t\t//{next}"), &format!("\t\t{next}"))),
    );
    assert_eq!(with_tests.status.code(), Some(0), "{}", text(&with_tests));
    assert!(text(&with_tests).contains("the file's own tests pass"), "{}", text(&with_tests));
    let json: Value = serde_json::from_str(&text(&acl(config, &["--json"], ""))).unwrap();
    assert!(json["tests"] == Value::Array(vec![]) && json["testsOnceJoined"][0].is_object(), "{json}");
    for owner in ["autogroup:admin", "autogroup:member"] {
        let refused = acl(config, &["--check", "-"], &lines.replace("you@\"", &format!("{owner}\"")));
        assert_eq!(refused.status.code(), Some(1), "{owner}: {}", text(&refused));
        assert!(text(&refused).contains("at Headscale") || text(&refused).contains("Headscale has no such"));
    }
    let own = acl("node.control_url = \"https://login.tailscale.com\"\n", &[], "");
    assert!(text(&own).contains("autogroup:admin"), "{}", text(&own));
    assert!(empty.contains("the control server decides") && !empty.contains("add a grant"), "{empty}");
    // However its URL is written, Tailscale's own server is no other one.
    for own in [
        "https://controlplane.tailscale.com",
        "https://login.tailscale.com/",
        "https://ControlPlane.Tailscale.com:443",
    ] {
        let config = format!("node.control_url = \"{own}\"\n");
        assert_eq!(acl(&config, &["--check", "-"], policy).status.code(), Some(1), "{own}");
    }
    let neither = text(&acl(config, &["--check", "-"], "{}"));
    assert!(
        neither.contains("neither grants nor acls") && !neither.contains("to let no device connect"),
        "{neither}"
    );
    // `anna@` may be who logs in as anna@example.com.
    let user = acl(
        config,
        &["--check", "-", "--user", "anna@example.com"],
        r#"{"acls": [{"action": "accept", "src": ["tag:x"], "dst": ["anna@:11434"]}], "tagOwners": {"tag:x": []}}"#,
    );
    assert!(
        text(&user)
            .contains("perhaps: the file does not say whether anna@example.com and anna@ are the same user"),
        "{}",
        text(&user)
    );
}
