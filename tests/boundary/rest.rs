//! A request that is answered before its body has arrived leaves its connection usable, or is told that it ends.

use std::time::Duration;

use remote_ollama_proxy::admission::{Limits, Pace};
use remote_ollama_proxy::policy::Access;
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
    let proxy = Running::limited(policy(), &ollama.url, PATIENCE, Access::Network, limits);
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
    let proxy = Running::paced(policy(), &ollama.url, PATIENCE, Access::Network, Limits::NONE, pace);
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
