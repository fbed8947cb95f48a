//! Refused requests never reach Ollama.

use crate::http::*;
use crate::recorder::Recorder;
use crate::tailnet::World;

/// Every route that Ollama serves and this proxy does not, with a harmful request.
const ROUTES: [(&str, &str, &str); 35] = [
    ("POST", "/api/pull", r#"{"model":"tiny"}"#),
    ("POST", "/api/push", r#"{"model":"tiny"}"#),
    ("POST", "/api/create", r#"{"model":"x","from":"tiny"}"#),
    ("POST", "/api/copy", r#"{"source":"tiny","destination":"x"}"#),
    ("DELETE", "/api/delete", r#"{"model":"tiny"}"#),
    ("POST", "/api/delete", r#"{"model":"tiny"}"#),
    ("POST", "/api/blobs/sha256:00", "x"),
    ("HEAD", "/api/blobs/sha256:00", ""),
    ("POST", "/api/me", ""),
    ("POST", "/api/signout", ""),
    ("DELETE", "/api/user/keys/x", ""),
    ("POST", "/api/experimental/web_search", "{}"),
    ("POST", "/api/experimental/web_fetch", "{}"),
    ("GET", "/api/experimental/model-recommendations", ""),
    ("GET", "/api/status", ""),
    ("POST", "/api/generate", r#"{"model":"tiny","prompt":"x"}"#),
    ("POST", "/api/chat", r#"{"model":"tiny"}"#),
    ("POST", "/api/embed", r#"{"model":"tiny","input":"x"}"#),
    ("POST", "/api/embeddings", r#"{"model":"tiny","prompt":"x"}"#),
    ("POST", "/v1/completions", r#"{"model":"tiny","prompt":"x"}"#),
    ("POST", "/v1/embeddings", r#"{"model":"tiny","input":"x"}"#),
    ("POST", "/v1/audio/transcriptions", "x"),
    ("POST", "/v1/images/generations", r#"{"model":"tiny","prompt":"x"}"#),
    ("POST", "/v1/images/edits", r#"{"model":"tiny","prompt":"x"}"#),
    ("POST", "/v1/responses/compact", r#"{"model":"tiny","input":"x"}"#),
    ("POST", "/api/codex/v1/responses", r#"{"model":"tiny","input":"x"}"#),
    ("GET", "/api/codex/_status", ""),
    ("GET", "/api/ps", ""),
    ("GET", "/", ""),
    ("HEAD", "/", ""),
    ("POST", "/api%2fpull", "{}"),
    ("POST", "/%61pi/pull", "{}"),
    ("POST", "/v1/../api/pull", "{}"),
    ("POST", "//api/pull", "{}"),
    ("POST", "/api/tags/../pull", "{}"),
];

#[tokio::test]
async fn other_routes_of_ollama_are_refused_and_never_reach_it() {
    let recorder = Recorder::new().await;
    let world = World::new(&recorder.url, "").await;
    for (method, target, body) in ROUTES {
        let mut client = world.connect().await;
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 403"), "{method} {target}: {head}");
    }
    assert_eq!(recorder.connections(), 0);
    // The recorder sees allowed requests.
    assert_eq!(world.ask(&get("/api/tags")).await.status(), 200);
    assert_eq!(recorder.connections(), 1);
}

#[tokio::test]
async fn peer_without_access_gets_no_connection() {
    let recorder = Recorder::new().await;
    let world = World::new(&recorder.url, "").await;
    world.tailnet.client("stranger", &[]).await;
    let addresses = world.tailnet.api("GET", "/nodes", serde_json::Value::Null).await;
    for to in ["remote-ollama-proxy:11434", "100.64.0.1:11434"] {
        let dial = world.tailnet.dials("stranger", to).await;
        assert_eq!(dial["ok"], false, "{to}: {dial} {addresses}");
    }
    // A peer with access to any other port gets none either.
    assert_eq!(world.tailnet.dials("laptop", "remote-ollama-proxy:11434").await["ok"], true);
    for port in [22, 80, 443, 11435] {
        let dial = world.tailnet.dials("laptop", &format!("remote-ollama-proxy:{port}")).await;
        assert_eq!(dial["ok"], false, "port {port}: {dial}");
    }
    assert_eq!(recorder.connections(), 0);
}

#[tokio::test]
async fn config_switches_endpoints_on_and_off() {
    let recorder = Recorder::new().await;
    let config = "[endpoints]\napi_chat = true\napi_ps = true\nroot = true\nv1_messages = false\n";
    let world = World::new(&recorder.url, config).await;
    let chat = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"stream":false}"#;
    assert_eq!(world.ask(&post("/api/chat", chat)).await.status(), 200);
    assert_eq!(world.ask(&get("/api/ps")).await.status(), 200);
    assert_eq!(world.ask(&get("/")).await.text(), "Ollama is running");
    assert_eq!(world.ask(&post("/v1/messages", "{}")).await.status(), 403);
    assert_eq!(world.ask(&post("/api/generate", "{}")).await.status(), 403);
}
