//! Which node `acl --check` evaluates the policy for.

use serde_json::Value;

use super::*;

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
