//! Only allowed requests reach Ollama, and refusals give the reason in the client's dialect.

use remote_ollama_proxy::policy::{Endpoint, EndpointSet, MANAGEMENT};

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

const DEFAULT: [(&str, &str); 12] = [
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/llama3.2:1b"),
    ("GET", "/v1/models/llama3.2%3A1b"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages?beta=true"),
    ("GET", "/api/version"),
    ("HEAD", "/api/version"),
    ("GET", "/api/tags"),
    ("HEAD", "/api/tags"),
    ("POST", "/api/show"),
];

fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 2\r\n\r\n{{}}")
}

#[tokio::test]
async fn default_endpoints_reach_ollama_unchanged() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
    for (method, target) in DEFAULT {
        let mut client = proxy.client().await;
        client.send(request(method, target)).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {target}: {head}");
        let arrived = soon("the request", seen.recv()).await.unwrap();
        assert_eq!(arrived.head.lines().next(), Some(format!("{method} {target} HTTP/1.1").as_str()));
        assert_eq!(arrived.text(), "{}");
    }
}

/// Every route of Ollama, and some that it does not have.
fn others() -> Vec<(&'static str, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        for endpoint in Endpoint::all() {
            all.push((method, endpoint.path().replace("{model}", "a")));
        }
        for route in &MANAGEMENT {
            all.push((method, format!("{}{}", route.path, if route.path.ends_with('/') { "x" } else { "" })));
        }
        for path in [
            "/v1/audio/speech",
            "/v1/files",
            "/metrics",
            "/api/new",
            "/v2/models",
            "/v1/models/",
            "/api",
            "/v1",
        ] {
            all.push((method, path.to_owned()));
        }
    }
    all.retain(|(m, p)| !(DEFAULT.contains(&(m, p)) || *m == "GET" && p == "/v1/models/a"));
    all
}

#[tokio::test]
async fn other_endpoints_are_refused_and_never_reach_ollama() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let others = others();
    assert!(others.len() > 300, "{}", others.len());
    for (method, path) in others {
        let mut client = proxy.client().await;
        client.send(request(method, &path)).await;
        let head = client.head().await.unwrap();
        let status = &head[9..12];
        assert!(status == "403" || status == "405", "{method} {path}: {head}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn refusals_use_the_dialect_of_the_api_and_name_the_rule() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();

    let answer = proxy.ask(&request("POST", "/api/pull")).await;
    assert_eq!(
        (answer.status(), answer.header("content-type")),
        (403, Some("application/json; charset=utf-8"))
    );
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let message = json["error"].as_str().unwrap();
    assert!(message.contains("POST /api/pull") && message.contains("(rule: management)"), "{message}");

    let answer = proxy.ask(&request("POST", "/v1/embeddings")).await;
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(json["error"]["code"], "endpoint-off");
    assert_eq!(json["error"]["type"], "permission_error");
    assert!(json["error"]["message"].as_str().unwrap().contains("endpoints.v1_embeddings = true"));

    let answer = proxy.ask(&request("GET", "/v1/messages")).await;
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status(), answer.header("allow")), (405, Some("POST")));
    assert_eq!((&json["type"], &json["error"]["type"]), (&"error".into(), &"invalid_request_error".into()));

    let answer = proxy.ask(&request("POST", "/api/tags")).await;
    assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET, HEAD")));
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn each_endpoint_has_its_own_switch() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let chat = Endpoint::named("api_chat").unwrap();
    let only_chat =
        remote_ollama_proxy::policy::Policy { endpoints: EndpointSet::EMPTY.with(chat, true), ..policy() };
    let proxy = Boundary::new(&url).policy(only_chat).start();
    assert_eq!(proxy.ask(&post("/api/chat", "{}")).await.status(), 200);
    soon("the request", seen.recv()).await.unwrap();
    for (method, target) in DEFAULT {
        if method != "HEAD" {
            assert_eq!(proxy.ask(&request(method, target)).await.status(), 403, "{target}");
        }
    }
    assert!(seen.is_empty());
}

#[tokio::test]
async fn new_policy_applies_to_the_next_request() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
    let mut client = proxy.client().await;
    client.send(get("/api/tags")).await;
    assert_eq!(client.answer().await.status(), 200);
    proxy.change(|rules| rules.policy.endpoints = EndpointSet::EMPTY);
    client.send(get("/api/tags")).await;
    assert_eq!(client.answer().await.status(), 403);
}
