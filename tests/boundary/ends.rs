//! How requests end: clients that leave, an Ollama that is down or dies, a proxy told to stop.

use std::collections::VecDeque;
use std::time::Duration;

use remote_ollama_proxy::policy::AccessMode;
use remote_ollama_proxy::proxy::Drained;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

use crate::support::*;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

#[tokio::test]
async fn a_client_that_leaves_closes_the_connection_to_ollama() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let whole = post("/v1/chat/completions", "{}");
    let part =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 9\r\n\r\nabc";
    let pipelined = format!("{whole}{}", get("/api/tags"));
    for (when, request) in [("waiting", &whole), ("uploading", &part.to_owned()), ("pipelined", &pipelined)] {
        for (answer, half) in [("", false), ("", true), (CHUNKED, false), (CHUNKED, true)] {
            let mut client = proxy.client().await;
            client.send(request).await;
            let mut upstream = ollama.accept().await;
            upstream.head().await.unwrap();
            if !answer.is_empty() {
                upstream.send(answer).await;
                client.head().await.unwrap();
                assert_eq!(client.chunk().await.unwrap(), b"hello");
            }
            if half {
                client.stream.shutdown().await.unwrap();
            } else {
                drop(client);
            }
            upstream.rest().await; // fails by hanging: {when}
            assert!(ollama.untouched().await, "{when}");
        }
    }
}

#[tokio::test]
async fn an_ollama_that_dies_in_mid_stream_is_no_clean_end() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for head in [CHUNKED, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"] {
        let mut client = proxy.client().await;
        client.send(post("/v1/chat/completions", "{}")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        upstream.send(head).await;
        client.head().await.unwrap();
        drop(upstream);
        let rest = client.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 12, "{:?}", String::from_utf8_lossy(&rest));
    }
}

#[tokio::test]
async fn without_ollama_the_answer_is_503_until_it_is_back() {
    let ollama = Ollama::new().await;
    let url = ollama.url.clone();
    drop(ollama);
    let proxy = Running::new(policy(), &url);
    let mut client = proxy.client().await;
    client.send(get("/v1/models")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert!(answer.text().contains("Ollama does not answer"), "{}", answer.text());
    assert!(!answer.text().contains("127.0.0.1"), "the client needs no address of ours: {}", answer.text());

    let back = tokio::net::TcpListener::bind(url.trim_start_matches("http://")).await.unwrap();
    client.send(get("/v1/models")).await;
    let mut upstream = Client::new(soon("a connection", back.accept()).await.unwrap().0);
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn a_kept_connection_that_ollama_closed_is_replaced() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    for _ in 0..3 {
        client.send(post("/v1/chat/completions", "{}")).await;
        let mut upstream = ollama.accept().await;
        let head = upstream.head().await.unwrap();
        upstream.body(&head).await.unwrap();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.answer().await.text(), "ok");
        // Closed here, as by a restart, between two requests.
        drop(upstream);
    }
}

/// Answers one request of `client`, whose connection to Ollama is `before` or a new one.
async fn one_answer(
    ollama: &Ollama,
    client: &mut Client<DuplexStream>,
    before: Option<Client<TcpStream>>,
) -> Client<TcpStream> {
    client.send(get("/api/version")).await;
    let mut upstream = match before {
        Some(upstream) => upstream,
        None => ollama.accept().await,
    };
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
    upstream
}

#[tokio::test]
async fn of_too_many_idle_connections_to_ollama_the_oldest_is_closed() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut idle = VecDeque::new();
    for _ in 0..256 {
        let mut client = proxy.client().await;
        let upstream = one_answer(&ollama, &mut client, None).await;
        idle.push_back((client, upstream));
    }
    // The first is no longer the oldest.
    let (mut first, upstream) = idle.pop_front().unwrap();
    let upstream = one_answer(&ollama, &mut first, Some(upstream)).await;
    idle.push_back((first, upstream));
    let mut further = proxy.client().await;
    let _kept = one_answer(&ollama, &mut further, None).await;

    let (mut second, mut closed) = idle.pop_front().unwrap();
    assert!(closed.head().await.is_none());
    let (mut third, kept) = idle.pop_front().unwrap();
    one_answer(&ollama, &mut third, Some(kept)).await;
    // Its client does not notice; and whoever leaves makes room.
    drop((third, idle.pop_front()));
    one_answer(&ollama, &mut second, None).await;
    let (mut last, kept) = idle.pop_back().unwrap();
    one_answer(&ollama, &mut last, Some(kept)).await;
}

#[tokio::test]
async fn a_request_that_was_sent_is_never_sent_again() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    // The first answer makes the connection a kept one; on the second it dies after the request.
    client.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    let head = upstream.head().await.unwrap();
    upstream.body(&head).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.answer().await;
    client.send(post("/v1/chat/completions", "{}")).await;
    upstream.head().await.unwrap();
    drop(upstream);
    let answer = client.answer().await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("not repeated"));
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_502() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for nonsense in
        ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"]
    {
        let mut client = proxy.client().await;
        client.send(get("/api/version")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        upstream.send(nonsense).await;
        assert_eq!(client.answer().await.status(), 502);
    }
}

#[tokio::test]
async fn running_requests_end_before_the_proxy_does() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut idle = proxy.client().await;
    let (mut client, mut upstream) = proxy.stream(&ollama).await;
    let stopping = proxy.stop();
    assert!(idle.rest().await.is_empty());
    upstream.send("5\r\nworld\r\n0\r\n\r\n").await;
    for expected in [&b"world"[..], b""] {
        assert_eq!(client.chunk().await.unwrap(), expected);
    }
    assert_eq!(soon("the proxy's end", stopping).await.unwrap().unwrap(), Drained { cut: 0 });
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_they_are_cut_and_counted() {
    let ollama = Ollama::new().await;
    let proxy = Running::with(policy(), &ollama.url, Duration::from_secs(5), AccessMode::Network);
    let (mut client, mut upstream) = proxy.stream(&ollama).await;
    let drained = proxy.stop().await.unwrap().unwrap();
    assert_eq!(drained, Drained { cut: 1 });
    assert!(!client.rest().await.ends_with(b"0\r\n\r\n"));
    upstream.rest().await;
}

#[tokio::test]
async fn a_client_that_leaves_behind_a_lot_of_bytes_is_noticed_too() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for request in [pipelined(), stuck_upload()] {
        let mut client = proxy.client().await;
        client.send(&request).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        drop(client);
        upstream.rest().await;
        proxy.has(0).await;
    }
}

#[tokio::test]
async fn an_answer_to_half_a_request_leaves_nothing_behind() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for chunked in [true, false] {
        let mut client = proxy.client().await;
        let length = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 5000000" };
        client
            .send(format!("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{length}\r\n\r\n"))
            .await;
        client.send(if chunked { "3\r\nabc\r\n" } else { "abc" }).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        // Refused before the end of its body, and the connection stays open, as Go's server does.
        upstream.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno").await;
        assert_eq!(client.answer().await.status(), 400);
        upstream.rest().await;
        drop(client);
        proxy.has(0).await;
    }
}

#[tokio::test]
async fn an_answer_of_two_lengths_is_taken_by_its_chunks() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for (framing, status) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 200),
        ("Transfer-Encoding: gzip, chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 502),
    ] {
        let mut client = proxy.client().await;
        client.send(get("/api/tags")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        upstream.send(format!("HTTP/1.1 200 OK\r\n{framing}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status);
        assert!(status != 200 || answer.text() == "0123456789", "{answer:?}");
    }
}

/// What has asked for nothing yet does not hold up the end, and what asks from then on is refused.
#[tokio::test]
async fn who_asks_after_the_stop_is_refused_and_who_does_not_ask_is_let_go() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let (mut running, mut upstream) = proxy.stream(&ollama).await;
    let mut empty = proxy.client().await;
    empty.send("\r\n").await;
    let mut late = proxy.client().await;
    late.send("GET /api").await;
    proxy.has(3).await;
    tokio::time::sleep(Duration::from_millis(100)).await; // most likely they have been read by then
    let stopping = proxy.stop();
    assert!(empty.rest().await.is_empty());
    use tokio::io::AsyncWriteExt;
    let _ = late.stream.write_all(b"/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n").await;
    let told = String::from_utf8(late.rest().await).unwrap();
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 503") && told.contains("stopping"), "{told}");
    assert!(ollama.untouched().await);
    upstream.send("0\r\n\r\n").await;
    assert!(running.chunk().await.unwrap().is_empty());
    drop((running, late));
    assert_eq!(soon("the end", stopping).await.unwrap().unwrap().cut, 0);
}
