//! The id of a request: in every answer, the same as in its access record, and never the client's own.

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::policy::EndpointSet;
use remote_ollama_proxy::proxy::MetricsPort;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::support::diagnostics::capture;
use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

const ONE: Limits = Limits { running: 1, waiting: 8, wait: PATIENCE, ..Limits::NONE };

fn id(answer: &Answer) -> &str {
    let ids: Vec<_> = answer.head.lines().filter(|line| line.starts_with("x-request-id: ")).collect();
    assert_eq!(ids.len(), 1, "{}", answer.head);
    answer.header("x-request-id").unwrap()
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// The id of the only active request that runs, or waits. Its access record has the same.
fn active(proxy: &Running, runs: bool) -> String {
    let sessions = proxy.proxy.sessions().all();
    let mut requests = sessions.iter().filter_map(|session| session.request());
    requests.find(|request| request.running == runs).unwrap().id
}

#[tokio::test]
async fn streamed_answer_has_the_id_of_its_record() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let head = client.head().await.unwrap();
    assert_eq!(client.chunk().await.unwrap(), b"hello");
    assert_eq!(header(&head, "x-request-id"), Some(&*active(&proxy, true)));
    assert_eq!(header(&head, "request-id"), None);
}

#[tokio::test]
async fn refusal_has_the_id_of_its_record() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).limits(ONE).start();
    let (mut first, mut upstream) = proxy.stream(&ollama).await;
    let mut second = proxy.client().await;
    second.send(post("/v1/chat/completions", "{}")).await;
    proxy.waits(1).await;
    let waiting = active(&proxy, false);
    proxy.change(|rules| rules.policy.endpoints = EndpointSet::EMPTY);
    upstream.send("0\r\n\r\n").await;
    assert!(first.chunk().await.unwrap().is_empty());
    let refusal = second.answer().await;
    assert_eq!((refusal.status(), id(&refusal)), (403, &*waiting));
}

#[tokio::test]
async fn requests_on_one_connection_have_ids_of_their_own() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
    let mut client = proxy.client().await;
    client.send(get("/v1/models") + &get("/nothing") + &get("/v1/models")).await;
    let answers = [client.answer().await, client.answer().await, client.answer().await];
    let ids = answers.each_ref().map(id);
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn refusal_has_the_id_in_the_error_format_of_each_api() {
    let proxy = Boundary::new("http://127.0.0.1:1").start();
    for (path, at) in [
        ("/v1/chat/completions/x", "/error/request_id"),
        ("/v1/messages/x", "/request_id"),
        ("/api/pull", "/request_id"),
        // Ollama is down.
        ("/v1/chat/completions", "/error/request_id"),
        ("/v1/messages", "/request_id"),
    ] {
        let refusal = proxy.ask(&post(path, "{}")).await;
        let body = json(&refusal);
        assert_eq!(body.pointer(at).and_then(Value::as_str), Some(id(&refusal)), "{path}: {body}");
    }
}

#[tokio::test]
async fn request_refused_for_its_framing_has_an_id() {
    let proxy = Boundary::new("http://127.0.0.1:1").start();
    for request in [
        post("/api/show", "{}").replace("Content-Length", "Content-Length: 2\r\nContent-Length"),
        get("/v1/models").replace("Host: ", "Host: a, "),
        get("/v1/models").replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(40_000))),
    ] {
        let refusal = proxy.ask(&request).await;
        assert!(matches!(refusal.status(), 400 | 431), "{}", refusal.head);
        let told = json(&refusal).to_string();
        assert!(told.contains(&format!("\"request_id\":\"{}\"", id(&refusal))), "{told}");
    }
}

#[tokio::test]
async fn client_id_is_forwarded_and_never_used() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
    for path in ["/v1/messages", "/v1/chat/completions", "/nothing"] {
        let own = "\r\nX-Request-Id: mine\r\nRequest-Id: mine\r\nContent-Length";
        let answer = proxy.ask(&post(path, "{}").replace("\r\nContent-Length", own)).await;
        assert!(id(&answer) != "mine" && !answer.head.contains("mine"), "{}", answer.head);
        if path != "/nothing" {
            let head = seen.recv().await.unwrap().head;
            assert_eq!(header(&head, "x-request-id"), Some("mine"), "{head}");
        }
    }
}

#[tokio::test]
async fn upstream_id_is_replaced() {
    let theirs =
        "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nRequest-Id: theirs\r\nContent-Length: 2\r\n\r\n{}";
    let (url, _seen) = Ollama::new().await.answering(theirs);
    let proxy = Boundary::new(&url).start();
    for path in ["/v1/messages", "/v1/chat/completions"] {
        let answer = proxy.ask(&post(path, "{}")).await;
        assert!(!id(&answer).is_empty() && !answer.head.contains("theirs"), "{}", answer.head);
    }
}

#[tokio::test]
async fn anthropic_clients_find_the_id_under_their_own_header() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
    for (path, status) in [("/v1/messages", 200), ("/v1/messages/x", 403)] {
        let answer = proxy.ask(&post(path, "{}")).await;
        assert_eq!((answer.status(), answer.header("request-id")), (status, Some(id(&answer))));
    }
    for path in ["/v1/chat/completions", "/nothing"] {
        assert_eq!(proxy.ask(&post(path, "{}")).await.header("request-id"), None, "{path}");
    }
}

#[tokio::test]
async fn refusal_of_an_auxiliary_port_has_an_id() {
    let proxy = Boundary::new("http://127.0.0.1:1").start();
    let (connect_to, incoming) = mpsc::channel(1);
    let text = Box::new(|| Box::pin(async { String::new() }) as _);
    let port = MetricsPort::new(proxy.proxy.port().another(), text);
    tokio::spawn(port.serve(Memory(incoming)));
    let mut client = connect(&connect_to, "100.64.0.1:9090".parse().unwrap()).await;
    client.send(get("/metrics")).await;
    let refusal = client.answer().await;
    assert_eq!((refusal.status(), json(&refusal)["request_id"].as_str()), (403, Some(id(&refusal))));
}

#[tokio::test]
async fn diagnostic_line_about_a_failure_of_ollama_has_peer_id_and_endpoint() {
    let (written, _guard) = capture();
    let proxy = Boundary::new("http://127.0.0.1:1").start();
    let refusal = proxy.ask(&post("/v1/chat/completions", "{}")).await;
    assert_eq!(refusal.status(), 503);
    let text = written.text();
    let line = text.lines().find(|line| line.contains("Ollama can't be reached")).unwrap();
    let connection = "connection{peer=laptop.tailnet.test (anna@example.com, 100.64.0.2:50000) port=11434}:";
    let request = format!("request{{id=\"{}\" endpoint=\"v1_chat_completions\"}}:", id(&refusal));
    assert!(line.contains(&(connection.to_owned() + &request)), "{line}");
}
