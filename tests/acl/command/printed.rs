//! The policy that `acl` prints.

use serde_json::Value;

use super::*;

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
        "page.port = 80\npage.setup = true\n",
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
        // Clients reach the page port only if it shows them how to set up a client.
        let setup = report.matches("may see how to set up a client").count();
        assert_eq!(setup, usize::from(config.contains("setup")), "{report}");
        assert_eq!(report.contains("tcp:11434"), !config.contains("off"), "{report}");
    }
    let json: Value = serde_json::from_str(&text(&acl("", &["--json"], ""))).unwrap();
    assert_eq!(json["grants"][0]["dst"][0], "tag:ai-server");
    assert!(json["tagOwners"]["tag:ai-ci"].is_array() && json["tests"].is_array(), "{json}");
}
