//! The report of `acl --check`, as a table and as JSON.

use serde_json::Value;

use super::*;

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
