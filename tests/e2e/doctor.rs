//! The security review: before the first run, during a run, and with faults.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::http::{eventually, found};
use crate::ollama;
use crate::tailnet::{Start, Tailnet, World};

/// The exit code, and the outcome, reason and remedy of each check.
async fn doctor(tailnet: &Tailnet) -> (i32, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    command.args(["doctor", "--json", "--config"]).arg(tailnet.dir.path().join("proxy-state.toml"));
    let out = command.output().await.unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let findings: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    for finding in &findings {
        let wrong = ["warning", "fault"].contains(&finding["outcome"].as_str().unwrap());
        assert_eq!(wrong, finding["remedy"].is_string(), "{finding}");
    }
    (out.status.code().unwrap(), findings)
}

fn outcome<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let finding = findings.iter().find(|f| f["check"] == check);
    finding.unwrap_or_else(|| panic!("no check {check}: {findings:#?}"))["outcome"].as_str().unwrap()
}

#[tokio::test]
async fn doctor_finds_no_fault_in_a_running_proxy() {
    let world = World::new(ollama::url(), "").await;
    let (code, findings) = doctor(&world.tailnet).await;
    for check in [
        "config",
        "files",
        "disk",
        "state",
        "key",
        "ollama",
        "ollama-cloud",
        "listeners",
        "clock",
        "name",
        "tags",
        "node-key",
        "reach",
    ] {
        assert_eq!(outcome(&findings, check), "good", "{findings:#?}");
    }
    // These tests may run as root, with an Ollama that is not the newest and next to one that is not theirs.
    let root = rustix::process::geteuid().is_root();
    assert_eq!(outcome(&findings, "account"), if root { "warning" } else { "good" });
    assert_eq!(code, i32::from(findings.iter().any(|f| f["outcome"] == "fault")));
}

#[tokio::test]
async fn doctor_works_before_the_first_run() {
    let tailnet = Tailnet::new().await;
    let start = Start::new(&tailnet, ollama::url());
    // Leaves the config, and no node.
    start.command(&["check"]).ended_with(0).await;
    std::fs::remove_dir_all(&start.state).unwrap();
    let (code, findings) = doctor(&tailnet).await;
    assert_eq!((code, outcome(&findings, "key")), (1, "fault"), "{findings:#?}");
    for check in ["config", "state", "ollama"] {
        assert_eq!(outcome(&findings, check), "good", "{findings:#?}");
    }
    for check in ["listeners", "clock", "name", "tags", "tailnet", "node-key", "reach"] {
        assert_eq!(outcome(&findings, check), "unknown", "{findings:#?}");
    }
}

#[tokio::test]
async fn doctor_finds_each_fault() {
    // On every address of the machine, without an answer.
    let upstream = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", upstream.local_addr().unwrap().port());
    let world = World::new(&url, "").await;
    let wide = json!({
        "tagOwners": {"tag:ai-server": ["autogroup:admin"], "tag:ai-client": ["autogroup:admin"]},
        "grants": [{"src": ["*"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]}],
    });
    world.tailnet.api("PUT", "/policy", wide).await;
    let state = world.tailnet.dir.path().join("proxy-state");
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o755)).unwrap();
    // The node receives the policy a moment later.
    let (code, findings) = found("the wide policy to be found", async || {
        Some(doctor(&world.tailnet).await).filter(|(_, findings)| outcome(findings, "reach") == "fault")
    })
    .await;
    assert_eq!(code, 1);
    for check in ["state", "ollama", "reach"] {
        assert_eq!(outcome(&findings, check), "fault", "{findings:#?}");
    }
    // It is no address of the tailnet, and is reported once.
    assert_ne!(outcome(&findings, "tailnet"), "fault", "{findings:#?}");
    // A machine with only loopback addresses can't be reached.
    assert!(["fault", "unknown"].contains(&outcome(&findings, "exposure")), "{findings:#?}");
}

#[tokio::test]
async fn doctor_reports_an_expired_key_and_not_the_policy() {
    let world = World::new(ollama::url(), "").await;
    world.tailnet.api("POST", "/nodes/remote-ollama-proxy/expire", Value::Null).await;
    let findings = found("the expired key to be found", async || {
        let (_, findings) = doctor(&world.tailnet).await;
        let tailnet = findings.iter().find(|f| f["check"] == "tailnet").unwrap();
        let remedy = tailnet["remedy"].as_str().unwrap_or_default();
        remedy.contains("remote-ollama-proxy login").then_some(findings)
    })
    .await;
    assert_eq!(outcome(&findings, "tailnet"), "fault", "{findings:#?}");
    assert_eq!(outcome(&findings, "reach"), "unknown", "{findings:#?}");
}

/// Waits until a check has this outcome and these words in its reason.
async fn finds(tailnet: &Tailnet, check: &str, wanted: &str, words: &[&str]) {
    eventually(&format!("{check} to be a {wanted}"), async || {
        let (_, findings) = doctor(tailnet).await;
        let finding = findings.iter().find(|f| f["check"] == check).unwrap().to_string();
        outcome(&findings, check) == wanted && words.iter().all(|word| finding.contains(word))
    })
    .await;
}

#[tokio::test]
async fn doctor_reports_wrong_clock_expiring_key_and_missing_names() {
    let world = World::new(ollama::url(), "").await;
    let tailnet = &world.tailnet;
    tailnet.api("PUT", "/settings", json!({"clock_ahead": "10m"})).await;
    finds(tailnet, "clock", "warning", &["behind the control server's", "NTP"]).await;
    tailnet.api("PUT", "/settings", json!({"no_magic_dns": true})).await;
    finds(tailnet, "clock", "good", &[]).await;
    finds(tailnet, "name", "warning", &["MagicDNS is off", "http://100.", &tailnet.control]).await;
    tailnet.api("PUT", "/settings", json!({})).await;
    finds(tailnet, "name", "good", &[]).await;
    tailnet.api("POST", "/nodes/remote-ollama-proxy/key-expiry", json!({"in": "71h"})).await;
    finds(tailnet, "node-key", "warning", &["in 2d 2", "headscale nodes expire", &tailnet.control]).await;
}

#[tokio::test]
async fn doctor_suggests_an_identity_for_an_untagged_node() {
    let tailnet = Tailnet::new().await;
    let key = Some(tailnet.key(json!({"tags": [], "user": "anna@example.com"})).await);
    let config = "node.tags = [\"tag:ai-server\"]\n".to_owned();
    let mut start = Start { key, ..Start::new(&tailnet, ollama::url()) };
    let mut first = start.up().await.process;
    first.signal(rustix::process::Signal::TERM);
    first.ended_with(0).await;
    start.config = config;
    let _proxy = start.up().await;
    finds(&tailnet, "tags", "warning", &["belongs to anna@example.com", "logout"]).await;
    finds(&tailnet, "reach", "warning", &["write 100.", "in place of tag:ai-server"]).await;
}
