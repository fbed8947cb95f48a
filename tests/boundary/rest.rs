//! A request that is answered before its body has arrived leaves its connection usable, or is told that it ends.

use std::time::Duration;

use remote_ollama_proxy::admission::{Limits, Pace};
use remote_ollama_proxy::policy::AccessMode;
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD_JSON: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno";

/// The most that is read and dropped.
const REST_MAX: usize = 256 << 10;

fn head(target: &str, framing: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{framing}\r\n\r\n")
}

fn sized(target: &str, length: usize) -> String {
    head(target, &format!("Content-Length: {length}"))
}

fn chunks(length: usize) -> String {
    format!("{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
}

/// Sends what may meet a connection that has ended.
async fn send_anyway(client: &mut Client<DuplexStream>, bytes: String) {
    let _ = client.stream.write_all(bytes.as_bytes()).await;
}

/// The next request on the connection is answered.
async fn goes_on(client: &mut Client<DuplexStream>) {
    client.send(get("/v1/models")).await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn refused_request_whose_body_comes_later_keeps_its_connection() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Running::new(policy(), &url);
    let mut client = proxy.client().await;
    for (target, status) in
        [("/v1/embeddings", 403), ("/api/pull", 403), ("/nowhere", 403), ("/api/tags", 405)]
    {
        for length in [1, 5_000, REST_MAX] {
            for (begin, body) in [
                (sized(target, length), "x".repeat(length)),
                (head(target, "Transfer-Encoding: chunked"), chunks(length)),
            ] {
                client.send(begin).await;
                let answer = client.answer().await;
                assert_eq!((answer.status(), answer.header("connection")), (status, None), "{target}");
                client.send(body).await;
                goes_on(&mut client).await;
            }
        }
    }
}

#[tokio::test]
async fn answer_says_that_the_connection_ends_when_a_larger_body_is_announced() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", REST_MAX + 1)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (403, Some("close")));
    send_anyway(&mut client, "x".repeat(REST_MAX + 1)).await;
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;
}

#[tokio::test]
async fn chunked_body_beyond_the_bound_ends_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    client.send(head("/v1/embeddings", "Transfer-Encoding: chunked")).await;
    assert_eq!(client.answer().await.status(), 403);
    send_anyway(&mut client, chunks(2 * REST_MAX) + &get("/v1/models")).await;
    assert!(client.rest().await.is_empty(), "the request after it must not be read");
    assert!(ollama.untouched().await);
    proxy.has(0).await;
}

/// Whether the client sends such a body after the refusal can't be known (RFC 9110, 10.1.1).
#[tokio::test]
async fn client_that_waits_to_be_told_to_go_on_is_told_that_the_connection_ends() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    client.send(head("/v1/embeddings", "Content-Length: 5\r\nExpect: 100-continue")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (403, Some("close")));
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn early_answer_of_ollama_keeps_the_connection() {
    const LENGTH: usize = 250_000;
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    for (begin, body) in [
        (sized("/api/show", LENGTH), "x".repeat(LENGTH)),
        (head("/api/show", "Transfer-Encoding: chunked"), chunks(LENGTH)),
    ] {
        let (before, after) = body.split_at(100_000);
        client.send(begin + before).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        upstream.send(BAD_JSON).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.header("connection")), (400, None));
        client.send(after).await;
        client.send(get("/v1/models")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        upstream.send(OK).await;
        assert_eq!(client.answer().await.text(), "ok");
        drop(upstream);
    }
}

#[tokio::test]
async fn unsent_rest_holds_no_turn() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 1, waiting: 9, ..Limits::NONE };
    let proxy = Running::limited(policy(), &ollama.url, PATIENCE, AccessMode::Network, limits);
    let mut client = proxy.client().await;
    client.send(sized("/v1/chat/completions", 9) + "{").await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send(BAD_JSON).await;
    assert_eq!(client.answer().await.status(), 400);

    let mut other = proxy.client().await;
    other.send(post("/v1/chat/completions", "{}")).await;
    ollama.accept().await.head().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rest_that_does_not_come_ends_the_connection() {
    let ollama = Ollama::new().await;
    let pace = Pace { body: Duration::from_secs(3), ..Pace::default() };
    let proxy = Running::paced(policy(), &ollama.url, PATIENCE, AccessMode::Network, Limits::NONE, pace);
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", 9) + "x").await;
    assert_eq!(client.answer().await.status(), 403);
    let asked = tokio::time::Instant::now();
    assert!(client.rest().await.is_empty());
    assert_eq!(asked.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn rest_that_trickles_ends_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", 99)).await;
    assert_eq!(client.answer().await.status(), 403);
    let asked = tokio::time::Instant::now();
    let (mut read, mut write) = tokio::io::split(client.stream);
    let trickle = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = trickle => {}
        end = tokio::io::AsyncReadExt::read_u8(&mut read) => assert!(end.is_err()),
    }
    assert_eq!(asked.elapsed().as_secs(), 10);
}

/// The proxy stops without waiting for bodies that it would drop.
#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_an_unsent_rest() {
    let ollama = Ollama::new().await;
    let proxy = Running::with(policy(), &ollama.url, Duration::from_secs(3600), AccessMode::Network);
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", 9) + "x").await;
    assert_eq!(client.answer().await.status(), 403);
    let begun = tokio::time::Instant::now();
    assert_eq!(proxy.stop().await.unwrap().unwrap().cut, 0);
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// Its connection goes on for no other request, so no rest has to be read first.
#[tokio::test(start_paused = true)]
async fn connection_that_the_client_wants_closed_is_closed_at_once() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let closing = head("/v1/embeddings", "Connection: x, Close\r\nContent-Length: 9");
    for request in [closing, sized("/v1/embeddings", 9).replace("HTTP/1.1", "HTTP/1.0")] {
        let mut client = proxy.client().await;
        client.send(request + "x").await;
        assert_eq!(client.answer().await.status(), 403);
        let begun = tokio::time::Instant::now();
        client.rest().await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn malformed_rest_is_not_called_a_malformed_request_line() {
    let (url, seen) = Ollama::new().await.answering(OK);
    let proxy = Running::new(policy(), &url);
    for body in ["5;a=b\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nA: b\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n"]
    {
        let mut client = proxy.client().await;
        client.send(head("/v1/embeddings", "Transfer-Encoding: chunked")).await;
        assert_eq!(client.answer().await.status(), 403);
        send_anyway(&mut client, body.to_owned() + &get("/v1/models")).await;
        let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(!rest.contains("request line"), "{body:?}: {rest}");
    }
    assert!(seen.is_empty());
}

/// Its silence is not its own: it waits to be told to go on.
#[tokio::test(start_paused = true)]
async fn client_that_waits_for_100_in_the_queue_is_not_timed_out() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 1, waiting: 9, wait: Duration::from_secs(300), ..Limits::NONE };
    let proxy = Running::paced(policy(), &ollama.url, PATIENCE, AccessMode::Network, limits, Pace::default());
    let (mut running, mut upstream) = proxy.stream(&ollama).await;
    let mut client = proxy.client().await;
    client.send(head("/v1/chat/completions", "Expect: 100-continue\r\nContent-Length: 2")).await;
    proxy.waits(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    upstream.send("0\r\n\r\n").await;
    assert_eq!(running.chunk().await.unwrap(), b"");
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 100 "));
    client.send("{}").await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
}
