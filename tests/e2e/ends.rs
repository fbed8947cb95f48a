//! The end of connections on a real network, where a close and a reset differ.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

/// The answer comes before the body. A reset for the rest of the body would discard the answer; microseconds decide
/// whether it does, so the time between both varies.
#[tokio::test]
async fn client_refused_mid_upload_gets_the_answer() {
    let world = World::new(ollama::url(), "").await;
    for n in 0..400 {
        let body = "x".repeat(20 + n % 5 * 1000);
        let mut client = world.connect().await;
        client
            .send(format!(
                "POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ))
            .await;
        delay(Duration::from_micros(n as u64 % 17 * 100)).await;
        client.send(body).await;
        assert_eq!(client.answer().await.status(), 403, "{n}");
    }
}

/// In HTTP/1.0 a close is the end of an answer, so only a reset shows that Ollama broke off.
#[tokio::test]
async fn truncated_http_1_0_answer_ends_in_a_reset() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::new(&format!("http://{}", upstream.local_addr().unwrap()), "").await;
    for whole in [true, false] {
        let mut client = world.connect().await;
        client.send("GET /api/tags HTTP/1.0\r\nHost: remote-ollama-proxy\r\n\r\n").await;
        let mut at_ollama = Client::new(upstream.accept().await.unwrap().0);
        at_ollama.head().await.unwrap();
        at_ollama.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.head().await.unwrap();
        at_ollama.send("5\r\nhello\r\n").await;
        let mut part = [0; 5];
        soon("a part", client.stream.read_exact(&mut part)).await.unwrap();
        if whole {
            at_ollama.send("0\r\n\r\n").await;
        }
        at_ollama.stream.shutdown().await.unwrap();
        let end = soon("the end", client.stream.read(&mut part)).await;
        if whole {
            assert_eq!(end.unwrap(), 0);
        } else {
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }
}
