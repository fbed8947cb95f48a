//! All eight default endpoints, streamed and not, through the tailnet to the real Ollama.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status(), 200, "{}\n{}", answer.head, answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
}

fn messages(content: &str) -> Value {
    json!([{"role": "user", "content": content}])
}

const SAYS: &str = " Hello from the tiny test model . Bye";

#[tokio::test]
async fn default_endpoints_answer() {
    let world = World::new(ollama::url(), "").await;
    let version = json_of(&world.ask(&get("/api/version")).await);
    assert!(version["version"].is_string());
    let tags = json_of(&world.ask(&get("/api/tags")).await);
    assert!(tags["models"].as_array().unwrap().iter().any(|m| m["name"] == "tiny:latest"), "{tags}");
    let models = json_of(&world.ask(&get("/v1/models")).await);
    assert!(models["data"].as_array().unwrap().iter().any(|m| m["id"] == "tiny:latest"), "{models}");
    for name in ["tiny", "tiny:latest", "tiny%3Alatest"] {
        let model = json_of(&world.ask(&get(&format!("/v1/models/{name}"))).await);
        assert_eq!(model["object"], "model");
    }
    let show = json_of(&world.ask(&post("/api/show", r#"{"model":"tiny"}"#)).await);
    assert!(show["details"].is_object());

    let chat = json!({"model": "tiny", "messages": messages("hi")});
    let chat = json_of(&world.ask(&post("/v1/chat/completions", &chat.to_string())).await);
    assert_eq!(chat["choices"][0]["message"]["content"], SAYS);
    let response = json!({"model": "tiny", "input": "hi"});
    let response = json_of(&world.ask(&post("/v1/responses", &response.to_string())).await);
    assert_eq!(response["output"][0]["content"][0]["text"], SAYS, "{response}");
    let message = json!({"model": "tiny", "max_tokens": 50, "messages": messages("hi")});
    let message = json_of(&world.ask(&post("/v1/messages", &message.to_string())).await);
    assert_eq!(message["content"][0]["text"], SAYS, "{message}");

    let mut client = world.connect().await;
    client.send("HEAD /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn streams_arrive_event_by_event() {
    let world = World::new(ollama::url(), "").await;
    for (path, body, last) in [
        (
            "/v1/chat/completions",
            json!({"model": "tiny", "messages": messages("hi"), "stream": true}),
            "data: [DONE]",
        ),
        (
            "/v1/responses",
            json!({"model": "tiny", "input": "hi", "stream": true}),
            "event: response.completed",
        ),
        (
            "/v1/messages",
            json!({"model": "tiny", "max_tokens": 50, "messages": messages("hi"), "stream": true}),
            "event: message_stop",
        ),
    ] {
        let mut client = world.connect().await;
        client.send(post(path, &body.to_string())).await;
        let head = client.head().await.unwrap();
        assert_eq!(header(&head, "content-type"), Some("text/event-stream"), "{path}: {head}");
        let (mut chunks, mut text) = (0, String::new());
        loop {
            let chunk = client.chunk().await.unwrap();
            if chunk.is_empty() {
                break;
            }
            chunks += 1;
            text.push_str(&String::from_utf8(chunk).unwrap());
        }
        assert!(chunks >= 8, "{path}: {chunks} chunks");
        assert!(text.contains(last), "{path}: {text}");
    }
}

#[tokio::test]
async fn long_stream_arrives_whole() {
    let world = World::new(ollama::url(), "").await;
    let body = json!({"model": "tiny", "messages": messages("go!"), "stream": true, "max_tokens": 1500});
    let answer = world.ask(&post("/v1/chat/completions", &body.to_string())).await;
    let words = answer.text().matches("\"content\":\" loop").count();
    assert!(words >= 1499, "{words}");
    assert!(answer.text().trim_end().ends_with("data: [DONE]"));
}

#[tokio::test]
async fn tool_calls_pass() {
    let world = World::new(ollama::url(), "").await;
    let tool = json!({"type": "function", "function": {"name": "get_weather", "description": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}});
    let body = json!({"model": "tiny", "messages": messages("weather?"), "tools": [tool]});
    let chat = json_of(&world.ask(&post("/v1/chat/completions", &body.to_string())).await);
    let call = &chat["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "get_weather", "{chat}");
    assert_eq!(call["arguments"], r#"{"city":"Paris"}"#);
}

/// Ollama reads a whole body before it answers.
#[tokio::test]
async fn body_of_64_mib_passes() {
    let world = World::new(ollama::url(), "").await;
    let body = format!(r#"{{"model":"tiny","padding":"{}"}}"#, "x".repeat(64 << 20));
    assert!(json_of(&world.ask(&post("/api/show", &body)).await)["details"].is_object());
}

#[tokio::test]
async fn ipv4_ipv6_and_the_full_name_work() {
    let world = World::new(ollama::url(), "").await;
    let listening = &world.proxy.listening;
    let name = listening["name"].as_str().unwrap().to_owned();
    assert_eq!(name, "remote-ollama-proxy.tailnet.test");
    let status: Value = world.tailnet.api("GET", "/nodes", Value::Null).await;
    let nodes = status.as_array().or_else(|| status["nodes"].as_array()).unwrap();
    let node = nodes.iter().find(|n| n["name"] == "remote-ollama-proxy").unwrap();
    let mut hosts = vec![format!("{name}:11434")];
    for address in node["addresses"].as_array().unwrap() {
        let address: std::net::IpAddr = address.as_str().unwrap().parse().unwrap();
        hosts.push(std::net::SocketAddr::new(address, 11434).to_string());
    }
    assert_eq!(hosts.len(), 3);
    for host in hosts {
        let at = world.tailnet.forward("laptop", &host).await;
        let mut client = Client::new(TcpStream::connect(at).await.unwrap());
        client.send(format!("GET /api/version HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status(), 200, "{host}");
    }
}

/// Ollama decides about origins, and its answer passes.
#[tokio::test]
async fn browsers_get_the_cors_answer_of_ollama() {
    let world = World::new(ollama::url(), "").await;
    let ask = |origin: &str| {
        format!(
            "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: remote-ollama-proxy\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        )
    };
    let answer = world.ask(&ask("http://localhost:3000")).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(world.ask(&ask("https://evil.example")).await.status(), 403);
}
