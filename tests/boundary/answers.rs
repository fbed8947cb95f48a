//! An answer of Ollama is passed on only if it can be read in one way; any other answer is 502.

use crate::support::*;

/// The outcomes of one proxy's requests, from its metrics.
fn endings(proxy: &Running) -> String {
    let text = proxy.counted();
    let lines = text.lines().filter(|l| l.starts_with("remote_ollama_proxy_requests_total{"));
    lines.filter(|l| !l.ends_with(" 0")).collect::<Vec<_>>().join("\n")
}

/// The status of the answer to `request` when the stand-in sends `answer` and closes.
async fn status(ollama: &Ollama, proxy: &Running, request: &str, answer: &[u8]) -> u16 {
    let mut client = proxy.client().await;
    client.send(request).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send(answer).await;
    drop(upstream);
    let head =
        client.head().await.unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(answer)));
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn http_1_0_connection_to_ollama_is_not_reused() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    client.send(get("/api/tags")).await;
    let mut old = ollama.accept().await;
    old.head().await.unwrap();
    old.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");

    client
        .send("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    let mut upstream = ollama.accept().await;
    let head = upstream.head().await.unwrap();
    assert_eq!(upstream.body(&head).await.unwrap(), b"hello", "{head}");
    assert!(old.rest().await.is_empty());
}

#[tokio::test]
async fn answer_to_head_with_conflicting_lengths_is_502() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let request = "HEAD /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n";
    for (lengths, expected) in [
        (&[][..], 200),
        (&["1234"], 200),
        (&["5", "5"], 502),
        (&["5", "6"], 502),
        (&["-5"], 502),
        (&["+5"], 502),
        (&["5, 5"], 502),
        (&["5,6"], 502),
        (&[""], 502),
        (&["five"], 502),
        (&["\u{ff15}"], 502),
        (&["5\u{e9}"], 502),
        (&["9223372036854775808"], 502),
    ] {
        let lengths: String = lengths.iter().map(|n| format!("Content-Length: {n}\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{lengths}\r\n");
        assert_eq!(status(&ollama, &proxy, request, answer.as_bytes()).await, expected, "{lengths:?}");
    }
}

#[tokio::test]
async fn answer_with_another_transfer_encoding_than_chunked_is_502() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for (codings, expected) in [
        (&["chunked"][..], 200),
        (&["Chunked"], 200),
        (&["chunked", "chunked"], 502),
        (&["chunked, chunked"], 502),
        (&["identity", "chunked"], 502),
        (&["gzip, chunked"], 502),
    ] {
        let lines: String = codings.iter().map(|c| format!("Transfer-Encoding: {c}\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n2\r\nok\r\n0\r\n\r\n");
        assert_eq!(
            status(&ollama, &proxy, &get("/api/tags"), answer.as_bytes()).await,
            expected,
            "{codings:?}"
        );
    }
}

#[tokio::test]
async fn answer_that_breaks_with_its_head_is_502_or_visibly_truncated() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for broken in [
        "Content-Length: 9\r\n\r\nhello",
        "Content-Length: 9\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nworld",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{broken}");
        assert_eq!(status(&ollama, &proxy, &get("/api/tags"), answer.as_bytes()).await, 502, "{broken:?}");
    }
    proxy.has(0).await;
    let all =
        "remote_ollama_proxy_requests_total{route=\"api_tags\",status=\"5xx\",ended=\"upstream-failed\"} 7";
    assert_eq!(endings(&proxy), all);
}

/// No body can confirm this length.
#[tokio::test]
async fn answer_without_a_body_has_a_length_only_where_allowed() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for (answer, length) in [
        ("200 OK\r\nContent-Length: 5", Some("5")),
        ("200 OK\r\nContent-Length: 0000000005", Some("5")),
        ("200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", None),
        ("204 No Content\r\nContent-Length: 5", None),
    ] {
        let mut client = proxy.client().await;
        client.send("HEAD /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n").await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        upstream.send(format!("HTTP/1.1 {answer}\r\n\r\n")).await;
        drop(upstream);
        let head = client.head().await.unwrap();
        assert_eq!(header(&head, "content-length"), length, "{answer}: {head}");
    }
}
