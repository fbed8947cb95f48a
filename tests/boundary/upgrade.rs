//! Upgrades, tunnels and expectations end at the proxy.

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends a request with these header lines, which must not reach Ollama; returns the head that does.
async fn passed_on(headers: &str) -> String {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(format!("GET /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{headers}\r\n")).await;
    let mut upstream = ollama.accept().await;
    let head = upstream.head().await.unwrap();
    upstream.send(OK).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text()), (200, "ok"), "{headers:?}");
    assert_eq!(answer.header("upgrade"), None);
    head
}

#[tokio::test]
async fn upgrade_is_ignored() {
    for headers in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Upgrade: TLS/1.0, HTTP/2.0\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: tcp\r\n",
    ] {
        let head = passed_on(headers).await;
        for gone in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(header(&head, gone), None, "{headers:?}: {head}");
        }
    }
}

#[tokio::test]
async fn connect_opens_no_tunnel() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for target in ["127.0.0.1:22", "remote-ollama-proxy:11434", "/api/tags", "[::1]:80", "*", ":22", "x:y"] {
        let mut client = proxy.client().await;
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n")).await;
        let answer = client.answer().await;
        assert!(matches!(answer.status(), 400 | 403 | 405), "{target}: {answer:?}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn ollama_switching_protocols_is_502() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for headers in ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"] {
        for switch in ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"] {
            let mut client = proxy.client().await;
            client
                .send(format!("GET /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{headers}\r\n"))
                .await;
            let mut upstream = ollama.accept().await;
            upstream.head().await.unwrap();
            upstream
                .send(format!("HTTP/1.1 101 Switching Protocols\r\n{switch}\r\nnow something else"))
                .await;
            let answer = client.answer().await;
            assert_eq!(answer.status(), 502, "{answer:?}");
            assert!(!answer.text().contains("something else"));
            upstream.rest().await;
        }
    }
}

#[tokio::test]
async fn other_expectations_than_100_are_ignored() {
    for expect in ["", "100-continue", "100-Continue", "200-ok", "100-continue, x", "x=y"] {
        let head = passed_on(&format!("Expect: {expect}\r\n")).await;
        assert_eq!(header(&head, "expect"), None, "{expect}");
    }
}

#[tokio::test]
async fn refused_request_gets_no_100() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client
        .send("POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status(), 403);
    assert!(ollama.untouched().await);
}
