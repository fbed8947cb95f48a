//! `who` over the admin socket of the running proxy.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Tailnet, World};

pub(crate) async fn who(tailnet: &Tailnet, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    command.arg("who").arg("--config").arg(tailnet.dir.path().join("proxy-state.toml")).args(arguments);
    command.output().await.unwrap()
}

/// Repeats until the answer is as wanted: the node receives a change a moment later.
pub(crate) async fn until(tailnet: &Tailnet, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    found(what, async || {
        let out = who(tailnet, &["--json"]).await;
        assert!(matches!(out.status.code(), Some(0 | 69)), "{}", String::from_utf8_lossy(&out.stderr));
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
        wanted(&answer).then_some(answer)
    })
    .await
}

fn peer<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let named = |p: &&Value| p["node"].as_str().is_some_and(|n| n.starts_with(&format!("{name}.")));
    answer["peers"].as_array().unwrap().iter().find(named).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn who_shows_peers_rights_and_running_requests() {
    let world = World::new(ollama::parallel_url(), "").await;
    let tailnet = &world.tailnet;
    let capability = "remote-ollama-proxy.internal/cap/ollama";
    let policy = json!({
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": [], "tag:ai-ci": []},
        "grants": [
            {"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]},
            {"src": ["tag:ai-ci"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"], "app": {capability: [
                {"endpoints": ["v1_models", "api_chat"], "max_concurrent": 2}, {"endpoint": ["*"]}]}},
            {"src": ["eve@example.com"], "dst": ["tag:ai-server"], "ip": ["tcp:22"]},
        ],
    });
    tailnet.api("PUT", "/policy", policy).await;
    tailnet.client("ci", &["tag:ai-ci"]).await;
    tailnet.client("eve", &[]).await;
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "go!"}], "stream": true});
    let mut client = Client::new(TcpStream::connect(world.at).await.unwrap());
    client.send(post("/v1/chat/completions", &body.to_string())).await;
    client.head().await.unwrap();
    client.chunk().await.unwrap();

    // The node may learn of a peer's owner a moment after the peer.
    let answer = until(tailnet, "all three peers", |a| {
        ["laptop", "ci"].iter().all(|name| !peer(a, name).is_null()) && !peer(a, "eve")["user"].is_null()
    })
    .await;
    let laptop = peer(&answer, "laptop");
    assert_eq!(laptop["may_connect"], true);
    assert_eq!((&laptop["through"], &laptop["tags"]), (&json!("network rule"), &json!(["tag:ai-client"])));
    assert_eq!(laptop["endpoints"].as_array().unwrap().len(), 8);
    assert_eq!((&laptop["connections"], &laptop["running"]), (&json!(1), &json!(["v1_chat_completions"])));
    let ci = peer(&answer, "ci");
    assert_eq!(ci["through"], "grants");
    // The config's allowlist is the outer bound: api_chat is off.
    assert_eq!((&ci["endpoints"], &ci["max_concurrent"]), (&json!(["v1_models"]), &json!(2)));
    assert!(ci["faults"][0].as_str().unwrap().contains("endpoint"));
    let eve = peer(&answer, "eve");
    assert_eq!((&eve["may_connect"], &eve["user"]), (&json!(false), &json!("eve@example.com")));

    let out = who(tailnet, &[]).await;
    let text = String::from_utf8(out.stdout).unwrap();
    for part in [
        "laptop.tailnet.test (tag:ai-client)",
        "running v1_chat_completions",
        "at most 2 at once",
        "faulty grant",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[tokio::test]
async fn who_works_for_this_account_only_while_it_runs() {
    let mut world = World::new(ollama::url(), "").await;
    let socket = world.tailnet.dir.path().join("proxy-state/admin.sock");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    assert!(who(&world.tailnet, &[]).await.status.success());

    world.proxy.process.signal(rustix::process::Signal::TERM);
    world.proxy.process.ended_with(0).await;
    let out = who(&world.tailnet, &[]).await;
    assert_eq!(out.status.code(), Some(69));
    let error = String::from_utf8(out.stderr).unwrap();
    assert!(error.contains("no proxy runs") && error.contains("remote-ollama-proxy run"), "{error}");
}
