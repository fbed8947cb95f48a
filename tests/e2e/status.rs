//! How the running proxy is, and cancelling what runs on it.

use serde_json::{Value, json};

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Start, Tailnet, World};

/// A request to the model that is slow.
fn slow() -> String {
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    post("/v1/chat/completions", &body.to_string())
}

fn state(requests: &Value, state: &str) -> Vec<String> {
    let requests = requests["requests"].as_array().unwrap().iter();
    requests.filter(|r| r["state"] == state).map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn it_tells_of_the_node_its_peers_ollama_and_what_runs() {
    let world = World::new(ollama::url(), "").await;
    assert_eq!(world.admin("GET", "/healthz").await.status(), 200);
    assert_eq!(world.admin("GET", "/readyz").await.status(), 200);
    let mut client = world.connect().await;
    client.send(get("/api/tags")).await;
    assert_eq!(client.answer().await.status(), 200);
    let reached = |s: &Value| s["peers"][0]["direct"].is_string() || s["peers"][0]["relay"].is_string();
    world.until("the path to the peer", "/status", reached).await;

    client.send(slow()).await;
    client.head().await.unwrap();
    client.chunk().await.unwrap();
    let out = world.run("status", &[]).await;
    let text = String::from_utf8(out.stdout).unwrap();
    let status = world.until("all of it", "/status", reached).await;
    assert_eq!(status["node"]["dns_name"], "remote-ollama-proxy.tailnet.test");
    assert_eq!(status["node"]["state"], "Running");
    assert_eq!(status["not_ready"], Value::Null);
    assert_eq!((&status["running"], &status["limits"]["running"]), (&json!(1), &json!(4)));
    let laptop = &status["peers"][0];
    assert_eq!((&laptop["node"], &laptop["connections"]), (&json!("laptop.tailnet.test"), &json!(1)));
    assert!(status["ollama"]["version"].is_string(), "{status}");
    let loaded = status["ollama"]["models"].as_array().unwrap();
    assert!(loaded.iter().any(|m| m["name"].as_str().unwrap().starts_with("slow")), "{status}");

    assert!(out.status.success(), "{text}");
    for part in [
        "serves     yes",
        "(tag:ai-client) ",
        "v1_chat_completions, running for",
        "joins with",
        "endpoints  ",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains("tskey-"), "{text}");
    let out = world.run("status", &["--json"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&out.stdout).unwrap()["node"], status["node"]);
}

#[tokio::test]
async fn running_and_waiting_requests_can_be_cancelled() {
    let mut world = World::new(ollama::url(), "limits.running = 1").await;
    let mut running = world.connect().await;
    running.send(slow()).await;
    running.head().await.unwrap();
    running.chunk().await.unwrap();
    let mut waiting = world.connect().await;
    waiting.send(slow()).await;
    let requests = world.until("a request that waits", "/requests", |r| state(r, "waiting").len() == 1).await;
    let (run, wait) = (state(&requests, "running")[0].clone(), state(&requests, "waiting")[0].clone());
    let first = &requests["requests"][0];
    assert_eq!((&first["id"], &first["endpoint"]), (&json!(run), &json!("v1_chat_completions")));
    assert_eq!(
        (&first["node"], &first["principal"]),
        (&json!("laptop.tailnet.test"), &json!("tag:ai-client"))
    );
    assert!(first["bytes_in"].as_u64() > Some(0) && first["bytes_out"].as_u64() > Some(0), "{first}");

    let out = world.run("cancel", &[&wait]).await;
    assert_eq!(String::from_utf8_lossy(&out.stdout), format!("request {wait} is cancelled\n"));
    assert!(waiting.rest().await.is_empty());
    world.proxy.process.line(&[&wait, "\"ended\":\"cancelled\""]).await;
    assert_eq!(state(&world.until("the other one", "/requests", |_| true).await, "running"), [run.as_str()]);

    let cancelled = world.admin("POST", &format!("/requests/{run}/cancel")).await;
    assert_eq!(cancelled.text(), r#"{"cancelled":true}"#);
    let rest = String::from_utf8_lossy(&running.rest().await).into_owned();
    assert!(!rest.contains("[DONE]"), "{rest}");
    world.proxy.process.line(&[&run, "\"ended\":\"cancelled\""]).await;
    // The turn has gone on: somebody else may run.
    assert_eq!(world.ask(&get("/api/tags")).await.status(), 200);
    world.until("nothing that runs", "/requests", |r| r["requests"] == json!([])).await;
    for unknown in [run.as_str(), "no/such request"] {
        let out = world.run("cancel", &[unknown]).await;
        assert_eq!(out.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&out.stderr).contains(&format!("no request {unknown:?}")));
    }
}

#[tokio::test]
async fn without_ollama_it_is_not_ready_and_says_why() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut world = World::new(&format!("http://{nobody}"), "").await;
    assert_eq!(world.admin("GET", "/healthz").await.status(), 200);
    let ready = world.admin("GET", "/readyz").await;
    let why: Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!((ready.status(), &why["what"]), (503, &json!("ollama")));
    assert!(why["reason"].as_str().unwrap().contains("refused"), "{why}");
    assert!(world.admin("GET", "/metrics").await.text().contains("\nremote_ollama_proxy_ollama_up 0\n"));
    let out = world.run("status", &[]).await;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(69), "{text}");
    assert!(
        text.contains("serves     no: cannot ask Ollama at ") && text.contains("\nollama     down: "),
        "{text}"
    );

    world.proxy.process.signal(rustix::process::Signal::TERM);
    world.proxy.process.ended_with(0).await;
    let out = world.run("status", &[]).await;
    assert_eq!(out.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no proxy runs"));
}

/// A control server that takes connections and says nothing.
#[tokio::test]
async fn while_it_joins_it_is_alive_and_not_ready() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tailnet = Tailnet::new().await;
    let start = Start {
        control: format!("http://{}", silent.local_addr().unwrap()),
        key: Some("tskey-auth-unused".to_owned()),
        ..Start::new(&tailnet, ollama::url())
    };
    let mut process = start.process();
    let socket = start.state.join("admin.sock");
    let mut client = soon("the admin socket", async {
        loop {
            match tokio::net::UnixStream::connect(&socket).await {
                Ok(stream) => return Client::new(stream),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    for (target, status, said) in [("/healthz", 200, "ok"), ("/readyz", 503, "joining")] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{target}");
        assert!(answer.text().contains(said), "{target}: {}", answer.text());
    }
    let mut told = start.command(&["status"]);
    told.ended_with(69).await;
    told.line(&["serves     no: joining: the tailnet has not admitted the node yet"]).await;
    let mut told = start.command(&["who"]);
    told.ended_with(69).await;
    told.line(&["the node has not joined the tailnet yet, so no peer is known"]).await;
    assert!(!told.output().contains("hides all other devices"), "{}", told.output());
    // tailscale's file is there before there is a node in it.
    let keys = start.state.join("tailscaled.state");
    soon("tailscale's file", async {
        while !keys.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut told = start.command(&["doctor"]);
    told.ended().await;
    told.line(&["key", "the node joins with"]).await;
    let mut refused = start.command(&["login"]);
    refused.ended_with(73).await;
    let mut second = start.process();
    second.ended_with(73).await;
    // Which has left the socket alone.
    let mut told = start.command(&["status"]);
    told.ended_with(69).await;
    told.line(&["joining"]).await;

    process.signal(rustix::process::Signal::TERM);
    process.ended_with(0).await;
}
