//! A request that is answered before its body arrives leaves its connection usable, or the answer announces the close.

use std::time::Duration;

use remote_ollama_proxy::admission::{Limits, Timeouts};
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD_JSON: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno";

/// The most that the proxy reads and discards.
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

/// Sends bytes to a connection that may have ended.
async fn send_anyway(client: &mut Client<DuplexStream>, bytes: String) {
    let _ = client.stream.write_all(bytes.as_bytes()).await;
}

/// Checks that the next request on the connection is answered.
async fn goes_on(client: &mut Client<DuplexStream>) {
    client.send(get("/v1/models")).await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn refused_request_with_a_late_body_keeps_its_connection() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
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
async fn refused_request_with_a_large_body_closes_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", REST_MAX + 1)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (403, Some("close")));
    send_anyway(&mut client, "x".repeat(REST_MAX + 1)).await;
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;
}

#[tokio::test]
async fn refused_request_with_a_long_chunked_body_closes_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(head("/v1/embeddings", "Transfer-Encoding: chunked")).await;
    assert_eq!(client.answer().await.status(), 403);
    send_anyway(&mut client, chunks(2 * REST_MAX) + &get("/v1/models")).await;
    assert!(client.rest().await.is_empty(), "the request after it must not be read");
    assert!(ollama.untouched().await);
    proxy.has(0).await;
}

/// The proxy cannot know whether the client sends such a body after the refusal (RFC 9110, 10.1.1).
#[tokio::test]
async fn refused_request_that_expects_100_closes_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
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
    let proxy = Boundary::new(&ollama.url).start();
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
async fn unsent_body_holds_no_slot() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 1, waiting: 9, ..Limits::NONE };
    let proxy = Boundary::new(&ollama.url).limits(limits).start();
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
async fn missing_rest_of_a_body_closes_the_connection() {
    let ollama = Ollama::new().await;
    let pace = Timeouts { body: Duration::from_secs(3), ..Timeouts::default() };
    let proxy = Boundary::new(&ollama.url).timeouts(pace).start();
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", 9) + "x").await;
    assert_eq!(client.answer().await.status(), 403);
    let asked = tokio::time::Instant::now();
    assert!(client.rest().await.is_empty());
    assert_eq!(asked.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn trickling_rest_of_a_body_closes_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", 99)).await;
    assert_eq!(client.answer().await.status(), 403);
    let asked = tokio::time::Instant::now();
    let (mut read, mut write) = tokio::io::split(client.stream);
    let trickle = async {
        while write.write_all(b"x").await.is_ok() {
            pass(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = trickle => {}
        end = tokio::io::AsyncReadExt::read_u8(&mut read) => assert!(end.is_err()),
    }
    assert_eq!(asked.elapsed().as_secs(), 10);
}

/// The stop does not wait for bodies that the proxy would discard.
#[tokio::test(start_paused = true)]
async fn drain_does_not_wait_for_the_rest_of_a_refused_body() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).drain(Duration::from_secs(3600)).start();
    let mut client = proxy.client().await;
    client.send(sized("/v1/embeddings", 9) + "x").await;
    assert_eq!(client.answer().await.status(), 403);
    let begun = tokio::time::Instant::now();
    assert_eq!(proxy.stop().await.unwrap().unwrap().cut, 0);
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// The connection serves no other request, so the proxy need not read the rest.
#[tokio::test(start_paused = true)]
async fn connection_close_of_the_client_is_honoured_at_once() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
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
async fn malformed_rest_of_a_body_is_not_reported_as_a_request_line() {
    let (url, seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
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

/// The client is silent because it waits for 100 Continue.
#[tokio::test(start_paused = true)]
async fn waiting_client_that_expects_100_does_not_time_out() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 1, waiting: 9, wait: Duration::from_secs(300), ..Limits::NONE };
    let proxy = Boundary::new(&ollama.url).limits(limits).start();
    let (mut running, mut upstream) = proxy.stream(&ollama).await;
    let mut client = proxy.client().await;
    client.send(head("/v1/chat/completions", "Expect: 100-continue\r\nContent-Length: 2")).await;
    proxy.waits(1).await;
    pass(Duration::from_secs(60)).await;
    upstream.send("0\r\n\r\n").await;
    assert_eq!(running.chunk().await.unwrap(), b"");
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 100 "));
    client.send("{}").await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
}
