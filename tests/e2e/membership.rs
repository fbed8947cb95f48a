//! How the node and the control server stand to each other: a node that is deleted while it runs, a control
//! server that goes away, two processes with one node's keys, and peers as other control servers tell of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Start, Tailnet, World};

#[tokio::test]
async fn deleted_node_is_told_and_serves_no_one() {
    let mut world = World::new(ollama::url(), "").await;
    let mut client = world.connect().await;
    client.send(get("/api/version")).await;
    assert_eq!(client.answer().await.status(), 200);
    world.tailnet.api("POST", "/nodes/remote-ollama-proxy/forget", Value::Null).await;
    let begun = Instant::now();
    world.proxy.process.line(&["peers can't reach the node", "no longer knows this node", "logout"]).await;
    println!("noticed after {:?}", begun.elapsed());
    world.proxy.process.line(&["sessions cut", "deleted at the control server", "\"cut\":1"]).await;
    let status = world.until("the deletion", "/status", |status| status["not_ready"]["what"] == "node").await;
    let reason = status["not_ready"]["reason"].as_str().unwrap();
    assert!(reason.contains("it was deleted there"), "{reason}");
    assert_eq!(world.admin("GET", "/readyz").await.status(), 503);
    let told = String::from_utf8(world.run("status", &[]).await.stdout).unwrap();
    assert!(told.contains("serves     no: the control server no longer knows this node"), "{told}");
    let findings = world.run("doctor", &["--json"]).await.stdout;
    let findings: Vec<Value> = serde_json::from_slice(&findings).unwrap();
    let tailnet = findings.iter().find(|f| f["check"] == "tailnet").unwrap();
    assert_eq!(tailnet["outcome"], "fault", "{tailnet}");
    assert!(tailnet["remedy"].as_str().unwrap().contains("remote-ollama-proxy logout"), "{tailnet}");
}

#[tokio::test]
async fn absent_control_server_is_told_within_seconds_and_so_is_its_return() {
    let mut world = World::new(ollama::url(), "").await;
    world.tailnet.api("POST", "/control/stop", Value::Null).await;
    let begun = Instant::now();
    world.proxy.process.line(&["not healthy", "the control server can't be reached"]).await;
    let took = begun.elapsed();
    println!("noticed after {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    // Peers are served by what is known.
    assert_eq!(world.ask(&get("/api/version")).await.status(), 200);
    assert_eq!(world.admin("GET", "/readyz").await.status(), 200);
    let told = String::from_utf8(world.run("status", &[]).await.stdout).unwrap();
    assert!(told.contains("the control server can't be reached"), "{told}");
    let findings = world.run("doctor", &["--json"]).await.stdout;
    let findings: Vec<Value> = serde_json::from_slice(&findings).unwrap();
    let tailnet = findings.iter().find(|f| f["check"] == "tailnet").unwrap();
    assert_eq!(tailnet["outcome"], "warning", "{tailnet}");

    world.tailnet.api("POST", "/control/start", Value::Null).await;
    let none = |status: &Value| status["node"]["warnings"].as_array().is_some_and(Vec::is_empty);
    let back = world.until("the control server to be back", "/status", none);
    tokio::time::timeout(Duration::from_secs(90), back).await.unwrap();
    assert_eq!(world.proxy.process.output().matches("the control server can't be reached").count(), 1);
}

#[tokio::test]
async fn reason_why_a_node_is_not_let_in_is_told_once() {
    let tailnet = Tailnet::new().await;
    let key = Some(tailnet.key(json!({})).await);
    tailnet.api("POST", "/control/stop", Value::Null).await;
    let config = "node.up_timeout = \"20s\"\n".to_owned();
    let start = Start { key, config, ..Start::new(&tailnet, ollama::url()) };
    let mut process = start.process();
    process
        .line(&["has not joined the tailnet yet", "\"reason\"", "the control server can't be reached"])
        .await;
    process.ended_with(69).await;
    let output = process.output();
    let lines = output.lines().filter(|line| line.contains("has not joined the tailnet yet"));
    let reasons: Vec<Value> =
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["reason"].clone()).collect();
    let different: std::collections::HashSet<_> = reasons.iter().collect();
    assert_eq!(reasons.len(), different.len(), "{output}");
    assert!(!output.contains("Please wait"), "{output}");
}

#[tokio::test]
async fn second_process_with_the_same_keys_is_told_by_the_first() {
    let mut world = World::new(ollama::url(), "").await;
    let state = world.tailnet.dir.path().join("copied-state");
    std::fs::create_dir(&state).unwrap();
    std::fs::copy(
        world.tailnet.dir.path().join("proxy-state/tailscaled.state"),
        state.join("tailscaled.state"),
    )
    .unwrap();
    let second = Start { state, ..Start::new(&world.tailnet, ollama::url()) };
    let _second = second.up().await;
    world.proxy.process.line(&["not healthy", "another process uses this node's keys"]).await;
}

/// headscale tells of no profile for the owner that it names for tagged nodes.
#[tokio::test]
async fn tagged_peer_without_a_profile_is_served_by_its_tags() {
    let tailnet = Tailnet::new().await;
    tailnet.api("PUT", "/settings", json!({"no_tag_profile": true})).await;
    let key = Some(tailnet.key(json!({})).await);
    let mut proxy = Start { key, ..Start::new(&tailnet, ollama::url()) }.up().await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    let mut client = Client::new(TcpStream::connect(at).await.unwrap());
    client.send(get("/api/version")).await;
    assert_eq!(client.answer().await.status(), 200);
    proxy.process.line(&["\"target\":\"access\"", "tag:ai-client"]).await;
}

#[tokio::test]
async fn wide_policy_is_found_in_a_tailnet_without_ipv4() {
    let tailnet = Tailnet::new().await;
    tailnet.api("PUT", "/settings", json!({"no_ipv4": true})).await;
    let key = Some(tailnet.key(json!({})).await);
    let proxy = Start { key, ..Start::new(&tailnet, ollama::url()) }.up().await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    let world = World { proxy, tailnet, at };
    assert_eq!(world.ask(&get("/api/version")).await.status(), 200);
    let addresses = world.admin("GET", "/status").await;
    let addresses: Value = serde_json::from_slice(&addresses.body).unwrap();
    assert_eq!(addresses["node"]["addresses"].as_array().unwrap().len(), 1, "{addresses}");
    world.until("that few may connect", "/who", |who| who["open_to_unknown_devices"] == false).await;
    let wide = json!({
        "tagOwners": {"tag:ai-server": ["autogroup:admin"], "tag:ai-client": ["autogroup:admin"]},
        "grants": [{"src": ["*"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]}],
    });
    world.tailnet.api("PUT", "/policy", wide).await;
    world.until("that anybody may connect", "/who", |who| who["open_to_unknown_devices"] == true).await;
}
