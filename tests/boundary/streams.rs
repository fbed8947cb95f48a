//! Bodies are streamed unchanged in both directions.

use crate::support::*;

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn each_chunk_reaches_the_client_before_the_next_is_sent() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send(CHUNKED).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    for i in 0..50 {
        let event = format!("data: {i}\n\n");
        upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(client.chunk().await.unwrap(), event.as_bytes());
    }
    upstream.send("0\r\n\r\n").await;
    assert!(client.chunk().await.unwrap().is_empty());
}

#[tokio::test]
async fn request_body_is_streamed_to_ollama() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client
        .send(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 6\r\n\r\nabc",
        )
        .await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    let head = "POST / HTTP/1.1\r\nContent-Length: 3"; // as if each half were a body
    assert_eq!(upstream.body(head).await.unwrap(), b"abc");
    client.send("def").await;
    assert_eq!(upstream.body(head).await.unwrap(), b"def");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let content: Vec<u8> = (0..8u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut client = proxy.client().await;
    let head = format!(
        "POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    let echo = async {
        let mut upstream = ollama.accept().await;
        let head = upstream.head().await.unwrap();
        let body = upstream.body(&head).await.unwrap();
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        upstream.send(body).await;
    };
    let ask = async {
        client.send(head).await;
        client.send(&content).await;
        client.answer().await
    };
    let (answer, ()) = tokio::join!(ask, echo);
    assert!(answer.body == content);
}

#[tokio::test]
async fn expect_100_is_answered_by_the_proxy() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client
        .send("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 100"));
    client.send("{}").await;
    let mut upstream = ollama.accept().await;
    let head = upstream.head().await.unwrap();
    assert_eq!(header(&head, "expect"), None);
    assert_eq!(upstream.body(&head).await.unwrap(), b"{}");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection_to_ollama() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(format!("{}{}{}", get("/v1/models/a"), get("/api/pull"), get("/v1/models/b"))).await;
    let mut upstream = ollama.accept().await;
    for (model, status) in [("a", 200), ("", 403), ("b", 200)] {
        if status == 200 {
            assert!(upstream.head().await.unwrap().starts_with(&format!("GET /v1/models/{model} ")));
            upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{model}")).await;
        }
        let answer = client.answer().await;
        assert_eq!(answer.status(), status);
        if status == 200 {
            assert_eq!(answer.text(), model);
        }
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn head_request_keeps_the_content_length() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send("HEAD /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n").await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    assert_eq!(header(&client.head().await.unwrap(), "content-length"), Some("1234"));
}

#[tokio::test]
async fn chunked_body_passes_with_any_method() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client
        .send("GET /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    let mut upstream = ollama.accept().await;
    let head = upstream.head().await.unwrap();
    assert_eq!(upstream.body(&head).await.unwrap(), b"hello", "{head}");
}
