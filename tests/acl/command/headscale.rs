//! Policies for Headscale.

use serde_json::Value;

use super::*;

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
    assert!(empty.contains("no device can connect to port 11434; add a grant"), "{empty}");
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
        neither.contains("neither grants nor acls: Headscale then lets every device reach everything"),
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

#[test]
fn service_and_https_are_left_out_for_headscale_with_a_warning() {
    let both = "node.tags = [\"tag:gpu\"]\nnode.service = \"svc:ollama\"\nhttps.enabled = true\n";
    let config = format!("node.control_url = \"https://headscale.example.com\"\n{both}");
    for args in [&[][..], &["--json"]] {
        let output = acl(&config, args, "");
        let (lines, warnings) = (text(&output), String::from_utf8_lossy(&output.stderr));
        assert!(!lines.contains("svc:") && !lines.contains("443") && lines.contains("tcp:11434"), "{lines}");
        for part in ["node.service = \"svc:ollama\"", "remove node.service", "set https.enabled = false"] {
            assert!(warnings.contains(part), "{part}: {warnings}");
        }
    }
    // What is printed is accepted, and a file with the Service is not.
    let printed = text(&acl(&config, &[], ""));
    let checked = acl(&config, &["--check", "-"], &printed);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    let with_service = printed.replace("\"dst\": [\"tag:gpu\"]", "\"dst\": [\"tag:gpu\", \"svc:ollama\"]");
    let refused = acl(&config, &["--check", "-"], &with_service);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("Headscale has no Services; name the tag"), "{}", text(&refused));
    // Tailscale has both.
    let own = acl(both, &[], "");
    assert!(text(&own).contains("svc:ollama") && text(&own).contains("tcp:443"), "{}", text(&own));
    assert!(own.stderr.is_empty(), "{own:?}");
}
