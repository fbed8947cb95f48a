//! One access record for each request, however it ends, and never content, at any log level.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::http::*;
use crate::ollama;
use crate::process::Process;
use crate::tailnet::{Start, Tailnet, World};

const SECRETS: [&str; 4] = ["prompt-secret", "query-secret", "header-secret", "tskey-"];

/// The records of requests in the access log, without a last line that is still being written.
fn records(world: &World) -> Vec<Value> {
    let path = world.tailnet.dir.path().join("proxy-state/access.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let records = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["event"] == "request").collect()
}

/// Waits for `n` records. A record is written when the request has ended in the proxy, which may be after the client
/// has seen the end.
async fn await_records(world: &World, n: usize) -> Vec<Value> {
    found("the records", async || Some(records(world)).filter(|records| records.len() >= n)).await
}

#[tokio::test]
async fn each_request_is_recorded_once_without_its_content() {
    let mut world = World::new(ollama::url(), "log.level = \"trace\"\n").await;
    let chat =
        json!({"model": "tiny", "messages": [{"role": "user", "content": "prompt-secret"}], "stream": true});
    let body = chat.to_string();
    let mut client = world.connect().await;
    client
        .send(format!(
            "POST /v1/chat/completions?q=query-secret HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\
             Authorization: Bearer header-secret\r\nX-Custom: header-secret\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 200);
    client.send(get("/api/pull?name=query-secret")).await;
    assert_eq!(client.answer().await.status(), 403);

    let records = await_records(&world, 2).await;
    let (served, refused) = (&records[0], &records[1]);
    assert_eq!(served["node"], "laptop.tailnet.test");
    assert_eq!(served["principal"], "tag:ai-client");
    assert!(served["addr"].as_str().unwrap().starts_with("100.64."));
    assert_eq!((&served["method"], &served["endpoint"]), (&json!("POST"), &json!("v1_chat_completions")));
    assert_eq!((&served["status"], &served["ended"]), (&json!(200), &json!("complete")));
    assert_eq!(served["bytes_in"], body.len());
    assert_eq!(served["bytes_out"], answer.body.len());
    assert!(served["first_byte_ms"].as_f64().unwrap() <= served["ms"].as_f64().unwrap());
    assert!(served["time"].is_string() && served["queue_ms"].is_number());
    assert_eq!((&refused["status"], &refused["rule"]), (&json!(403), &json!("management")));
    assert_eq!((&refused["path"], &refused["ended"]), (&json!("/api/pull"), &json!("refused")));
    assert_ne!(served["id"], refused["id"]);

    let log = world.tailnet.dir.path().join("proxy-state/access.jsonl");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    world.proxy.process.lines(&["\"target\":\"access\""], 2).await; // they have a file of their own
    let output = world.proxy.process.output() + &std::fs::read_to_string(&log).unwrap();
    assert!(output.contains("\"TRACE\""), "the level is not trace");
    for secret in SECRETS {
        assert!(!output.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn peers_cannot_forge_a_record() {
    for format in ["json", "text"] {
        let mut world = World::new(ollama::url(), &format!("log.format = \"{format}\"\n")).await;
        let before = world.proxy.process.output().lines().count();
        for path in
            ["/x%0aforged", "/x\u{1b}[31mforged", "/\u{202e}forged", "/\\nforged", "/\"forged", "/a b"]
        {
            for head in [
                format!("GET {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n"),
                format!("FOR'GED {path} HTTP/1.1\r\nHost: forged\nforged\r\nUser-Agent: forged\u{7}\r\n\r\n"),
            ] {
                let mut client = world.connect().await;
                client.send(head).await;
                let status = client.head().await.unwrap();
                assert!(status.starts_with("HTTP/1.1 4"), "{status}");
            }
        }
        world.proxy.process.signal(rustix::process::Signal::TERM);
        world.proxy.process.ended_with(0).await;
        for line in world.proxy.process.output().lines().skip(before) {
            let own = match format {
                "json" => serde_json::from_str::<Value>(line).is_ok_and(|v| v["level"].is_string()),
                _ => line.starts_with("20") && line.contains("Z  "),
            };
            assert!(own, "{format}: a foreign line: {line:?}");
            assert!(line.is_ascii() && !line.contains(|c: char| c.is_control()), "{format}: {line:?}");
        }
    }
}

/// A proxy with its log in a file, and an address from which a client reaches it.
async fn with_file(tailnet: &Tailnet, more: &str) -> (Process, SocketAddr) {
    let file = tailnet.dir.path().join("proxy.log");
    let config = format!("log.file = {file:?}\n{more}");
    let key = Some(tailnet.key(json!({})).await);
    let start = Start { key, config, ..Start::new(tailnet, ollama::url()) };
    let mut process = start.process();
    process.line(&["the log is in", "proxy.log"]).await;
    let has = |words: &str| {
        files(tailnet).iter().any(|path| std::fs::read_to_string(path).unwrap().contains(words))
    };
    eventually("the log", async || has("listening in the tailnet")).await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    (process, tailnet.forward("laptop", "remote-ollama-proxy:11434").await)
}

/// The log and its rotated files.
fn files(tailnet: &Tailnet) -> Vec<PathBuf> {
    let files = std::fs::read_dir(tailnet.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.to_string_lossy().contains("proxy.log")).collect()
}

#[tokio::test]
async fn grown_log_file_is_rotated() {
    let tailnet = Tailnet::new().await;
    let (_process, at) = with_file(&tailnet, "log.max_size = 1500\n").await;
    eventually("a second file", async || {
        let mut client = Client::new(tokio::net::TcpStream::connect(at).await.unwrap());
        client.send(get("/api/version")).await;
        assert_eq!(client.answer().await.status(), 200);
        files(&tailnet).len() == 2
    })
    .await;
}

/// Asks for `/api/version`, `/api/pull` twice and `/x`.
async fn ask_four(at: SocketAddr) {
    for (path, status) in [("/api/version", 200), ("/api/pull", 403), ("/api/pull", 403), ("/x", 403)] {
        let mut client = Client::new(tokio::net::TcpStream::connect(at).await.unwrap());
        client.send(get(path)).await;
        assert_eq!(client.answer().await.status(), status);
    }
}

#[tokio::test]
async fn access_log_is_independent_of_the_diagnostics() {
    let world = World::new(ollama::url(), "log.level = \"info,access=off\"\n").await;
    assert_eq!(world.ask(&get("/api/version")).await.status(), 200);
    assert_eq!(await_records(&world, 1).await[0]["ended"], "complete");
    assert!(!world.proxy.process.output().contains("\"target\":\"access\""));
}

#[tokio::test]
async fn report_sums_up_rotated_files() {
    let world = World::new(ollama::url(), "access_log.max_size = 500\n").await;
    ask_four(world.at).await;
    let dir = world.tailnet.dir.path();
    let mut report = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    report.args(["report", "--format", "json", "--config"]).arg(dir.join("proxy-state.toml"));
    // The last record and the journal's line may come after the answer.
    let told = found("the report", async || {
        let output = report.output().await.unwrap();
        let told = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        Some(told).filter(|told| told["total"]["requests"] == 4 && told["access"] != json!([]))
    })
    .await;
    let files = std::fs::read_dir(dir.join("proxy-state")).unwrap().map(|entry| entry.unwrap().file_name());
    let files = files.filter(|name| name.to_string_lossy().starts_with("access.jsonl")).count();
    assert!(files >= 2, "{files} files");
    assert_eq!(told["lines"]["unreadable"], 0, "{told}");
    assert_eq!(told["ended"], json!({"complete": 1, "refused": 3}));
    assert_eq!(told["rules"], json!({"management": 2, "allowlist": 1}));
    let laptop = &told["identities"][0];
    assert_eq!(
        (&laptop["identity"], &laptop["principal"]),
        (&json!("laptop.tailnet.test"), &json!("tag:ai-client"))
    );
    assert_eq!(
        (&told["refused"][0]["asked"], &told["refused"][0]["count"]),
        (&json!("/api/pull"), &json!(2))
    );
    assert_eq!(told["first_seen"][0]["node"], "laptop.tailnet.test");
    assert_eq!(
        (&told["access"][0]["access"], &told["access"][0]["node"]),
        (&json!("gained"), &json!("laptop.tailnet.test"))
    );
}
