//! The security review: before the first run, during a run, and with faults.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::http::{eventually, found};
use crate::ollama;
use crate::process::Process;
use crate::tailnet::{Start, Tailnet, World};

/// The exit code, and the outcome, reason and remedy of each check.
async fn doctor(tailnet: &Tailnet) -> (i32, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    command.args(["doctor", "--json", "--config"]).arg(tailnet.dir.path().join("proxy-state.toml"));
    let out = command.output().await.unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let findings: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    for finding in &findings {
        // What can't be told may have a way out, too.
        match finding["outcome"].as_str().unwrap() {
            "warning" | "fault" => assert!(finding["remedy"].is_string(), "{finding}"),
            "good" => assert!(finding["remedy"].is_null(), "{finding}"),
            other => assert_eq!(other, "unknown", "{finding}"),
        }
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

/// An Ollama without models, with its own temporary folder and these variables.
async fn ollama_with(dir: &Path, variables: &[(&str, &str)]) -> (Process, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ollama/ollama.sh");
    let built = Command::new(script).arg("build").output().await.unwrap();
    let program = String::from_utf8(built.stdout).unwrap();
    let mut command = Command::new(program.trim());
    command.arg("serve").env("HOME", dir).env("TMPDIR", dir).env("OLLAMA_MODELS", dir.join("models"));
    command.env("OLLAMA_HOST", "127.0.0.1:0").env("OLLAMA_NO_CLOUD", "1").envs(variables.iter().copied());
    let mut process = Process::start("ollama", &mut command);
    let line = process.line(&["Listening on 127.0.0.1:"]).await;
    let port: String =
        line.split("127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    (process, format!("http://127.0.0.1:{port}"))
}

#[tokio::test]
async fn doctor_reports_an_ollama_that_writes_prompts_to_files() {
    let dir = tempfile::tempdir().unwrap();
    let (ollama, url) = ollama_with(dir.path(), &[("OLLAMA_DEBUG_LOG_REQUESTS", "a-secret")]).await;
    let folders = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains("/ollama-request-logs-")).collect::<Vec<_>>()
    };
    if folders().is_empty() {
        // Before 0.18.3 Ollama does not know the variable.
        std::fs::create_dir(dir.path().join("ollama-request-logs-42")).unwrap();
    }
    let folder = folders().remove(0).canonicalize().unwrap();
    let tailnet = Tailnet::new().await;
    let start = Start::new(&tailnet, &url);
    start.command(&["check"]).ended_with(0).await;
    let (_, findings) = doctor(&tailnet).await;
    let found = findings.iter().find(|f| f["check"] == "request-log").unwrap();
    let (reason, remedy) = (found["reason"].as_str().unwrap(), found["remedy"].as_str().unwrap());
    assert_eq!(found["outcome"], "warning", "{found}");
    assert!(reason.contains(&format!("is on in the running process {}", ollama.id())), "{found}");
    assert!(reason.contains(&*folder.to_string_lossy()), "{found}");
    assert!(remedy.starts_with("set OLLAMA_DEBUG_LOG_REQUESTS=0"), "{found}");
    assert!(remedy.contains(&format!("rm -r {}", folder.display())), "{found}");
    assert!(!found.to_string().contains("a-secret"), "{found}");

    // Without the variable and the folder, neither is reported, whatever else is on this machine.
    drop(ollama);
    std::fs::remove_dir_all(&folder).unwrap();
    let (ollama, url) = ollama_with(dir.path(), &[("OLLAMA_DEBUG_LOG_REQUESTS", "0")]).await;
    let start = Start { state: start.state, ..Start::new(&tailnet, &url) };
    start.command(&["check"]).ended_with(0).await;
    let (_, findings) = doctor(&tailnet).await;
    let found = findings.iter().find(|f| f["check"] == "request-log").unwrap().to_string();
    assert!(!found.contains(&format!("process {}", ollama.id())), "{found}");
    assert!(!found.contains(&*folder.to_string_lossy()), "{found}");
}
