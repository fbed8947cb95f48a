//! A request whose end two readers could see in different places gets 400. The connection closes, and Ollama receives
//! nothing.

use std::time::Duration;

use crate::support::*;

const HOST: &str = "Host: remote-ollama-proxy\r\n";
const SMUGGLED: &str = "POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n";

/// Headers that `POST /api/show` must not have next to its Host; `0\r\n\r\n` follows.
const HEADERS: &[&str] = &[
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: x",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding:",
    "Transfer-Encoding: \tchunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: chunked\t",
    "Transfer-Encoding: chunked;x",
    "Transfer-Encoding: chunked; x=y",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: chun ked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: \x0cchunked",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: \u{a0}chunked",
    "Transfer-Encoding: \u{212a}chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer-Encoding\0: chunked",
    "Transfer-Encoding:\r\n chunked",
    " Transfer-Encoding: chunked",
    "X: y\r\n\tTransfer-Encoding: chunked",
    "Transfer-Encoding",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5\r\nX: y\r\ncontent-length: 0",
    "Content-Length: 5, 5",
    "Content-Length: 5,6",
    "Content-Length: 5 5",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 0x5",
    "Content-Length: 5.0",
    "Content-Length: 5e0",
    "Content-Length: 5;",
    "Content-Length: \"5\"",
    "Content-Length: \u{ff15}",
    "Content-Length: five",
    "Content-Length:",
    "Content-Length: \t5",
    "Content-Length: 5\t",
    "Content-Length: \x0b5",
    "Content-Length: \x0c5",
    "Content-Length: 9223372036854775808",
    "Content-Length: 18446744073709551616",
    "Content-Length: 18446744073709551621",
    "Content-Length: 99999999999999999999",
    "Content-Length : 5",
    "Content-Length\t: 5",
    "Content-Length:\r\n 5",
    "Host: remote-ollama-proxy",
    "Host: evil.example",
    "host:",
    "Host : evil.example",
    "Host: remote-ollama-proxy, evil.example",
    "X: a\0b",
    "X: a\x01b",
    "X: a\x08b",
    "X: a\x0bb",
    "X: a\x1bb",
    "X: a\x7fb",
    "X: a\rb",
    "X: a\nb",
    "X: a\r",
    "X: a\n",
    "X: a\r\n b",
    "X: a\r\n\tb",
    "X: a\r\n ",
    "X",
    "X : a",
    ": a",
    ":",
    " : a",
    "X Y: a",
    "X\0: a",
    "X(: a",
    "\"X\": a",
    "\u{e9}: a",
];

/// Request lines and line ends. `H` is replaced by the right Host.
const HEADS: &[&str] = &[
    "GET /api/tags HTTP/1.1\nH\r\n\r\n",
    "GET /api/tags HTTP/1.1\r\nH\n\r\n",
    "GET /api/tags HTTP/1.1\r\nH\r\n\n",
    "GET /api/tags HTTP/1.1\r\nH\n\n",
    "GET /api/tags HTTP/1.1\nH\n\n",
    "GET /api/tags HTTP/1.1\rH\r\r",
    "GET /api/tags HTTP/1.1\r\r\nH\r\n\r\n",
    "GET /api/tags HTTP/1.1\r\nH\r\n\r\r\n",
    "\nGET /api/tags HTTP/1.1\r\nH\r\n\r\n",
    "\rGET /api/tags HTTP/1.1\r\nH\r\n\r\n",
    "GET /api/tags\r HTTP/1.1\r\nH\r\n\r\n",
    "GET /api/tags HTTP/1.1\r\n\r\n",
    "GET /api/tags HTTP/1.0\r\n\r\n",
    "GET /api/tags HTTP/1.1\r\nX: y\r\n\r\n",
    "GET /api/tags HTTP/1.1\r\n H\r\n\r\n",
    "POST /api/show HTTP/1.0\r\nH\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /api/tags\r\n\r\n",
    "GET /api/tags\r\nH\r\n\r\n",
    "GET /api/tags \r\nH\r\n\r\n",
    "GET /api/tags HTTP/0.9\r\nH\r\n\r\n",
    "GET /api/tags HTTP/1.2\r\nH\r\n\r\n",
    "GET /api/tags HTTP/2.0\r\nH\r\n\r\n",
    "GET /api/tags HTTP/2\r\nH\r\n\r\n",
    "GET /api/tags HTTP/1\r\nH\r\n\r\n",
    "GET /api/tags HTTP/1.10\r\nH\r\n\r\n",
    "GET /api/tags HTTP/01.1\r\nH\r\n\r\n",
    "GET /api/tags HTTP/1,1\r\nH\r\n\r\n",
    "GET /api/tags http/1.1\r\nH\r\n\r\n",
    "GET /api/tags HTTP /1.1\r\nH\r\n\r\n",
    "GET /api/tags HTTP/1.1 \r\nH\r\n\r\n",
    "GET /api/tags HTTP/1.1 HTTP/1.1\r\nH\r\n\r\n",
    "GET /api/tags  HTTP/1.1\r\nH\r\n\r\n",
    "GET  /api/tags HTTP/1.1\r\nH\r\n\r\n",
    "GET\t/api/tags\tHTTP/1.1\r\nH\r\n\r\n",
    " GET /api/tags HTTP/1.1\r\nH\r\n\r\n",
    "GET /api/tags#x HTTP/1.1\r\nH\r\n\r\n",
    "GET /api/ta\0gs HTTP/1.1\r\nH\r\n\r\n",
    "G\0ET /api/tags HTTP/1.1\r\nH\r\n\r\n",
    "GET:/api/tags HTTP/1.1\r\nH\r\n\r\n",
    "HTTP/1.1 200 OK\r\nH\r\n\r\n",
    "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03\r\n\r\n",
];

#[tokio::test]
async fn ambiguous_heads_are_refused_and_close_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let headers = HEADERS
        .iter()
        .map(|headers| format!("POST /api/show HTTP/1.1\r\n{HOST}{headers}\r\n\r\n0\r\n\r\n"))
        .chain(
            HEADERS
                .iter()
                .map(|headers| format!("POST /api/show HTTP/1.1\r\n{headers}\r\n{HOST}\r\n0\r\n\r\n")),
        );
    let heads = HEADS
        .iter()
        .map(|head| head.replace("H\r", &HOST.replace('\n', "")).replace("H\n", &HOST.replace('\r', "")));
    for head in headers.chain(heads) {
        let mut client = proxy.client().await;
        client.send(format!("{head}{SMUGGLED}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 400, "{head:?}: {answer:?}");
        assert!(client.rest().await.is_empty(), "an answer to what came after {head:?}");
    }
    assert!(ollama.untouched().await);
}

/// An HTTP/2 client could not read an answer.
#[tokio::test]
async fn http2_preface_closes_the_connection_without_an_answer() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for more in ["", "\0\0\0\x04\0\0\0\0\0", SMUGGLED] {
        let mut client = proxy.client().await;
        client.send(format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{more}")).await;
        assert!(client.rest().await.is_empty());
    }
    assert!(ollama.untouched().await);
}

/// Another rule checks Host: a request for another host is refused, and the connection stays open.
#[tokio::test]
async fn foreign_host_is_421() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for host in [
        "evil.example",
        "remote-ollama-proxy,evil.example",
        "remote-ollama-proxy:",
        "remote-ollama-proxy:99999",
        "r%65mote-ollama-proxy",
        "[::1]",
        "127.0.0.1:11434",
    ] {
        let answer = proxy.ask(&format!("GET /api/tags HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status(), 421, "{host:?}: {answer:?}");
    }
    assert!(ollama.untouched().await);
}

/// RFC 9112, 3.2.
#[tokio::test]
async fn malformed_host_is_400() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for host in [
        "",
        ":11434",
        "remote-ollama-proxy, evil.example",
        "remote-ollama-proxy evil",
        "x@remote-ollama-proxy",
        "remote-ollama-proxy:x",
        "remote-ollama-proxy:+80",
        "remote-ollama-proxy/",
        "remote-ollama-proxy/api",
        "[::",
        "http://remote-ollama-proxy",
        "remote-ollama-proxy#",
        "remote\u{2010}ollama-proxy",
        "remote-ollama-proxy\u{e9}",
    ] {
        let answer = proxy.ask(&format!("GET /api/tags HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status(), 400, "{host:?}: {answer:?}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn malformed_target_is_400() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for line in ["GET * HTTP/1.1", "GET /api/tags\u{e9} HTTP/1.1", "GET /api/tags?\u{e9} HTTP/1.1"] {
        let answer = proxy.ask(&format!("{line}\r\n{HOST}\r\n")).await;
        assert_eq!(answer.status(), 400, "{line}: {answer:?}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn too_long_url_is_414() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for length in [33_000, 50_000, 70_000, 300_000] {
        for earlier in [0, 1] {
            let mut client = proxy.client().await;
            let requests = get("/nowhere").repeat(earlier)
                + &format!("GET /api/tags?{} HTTP/1.1\r\n{HOST}\r\n", "x".repeat(length));
            tokio::io::AsyncWriteExt::write_all(&mut client.stream, requests.as_bytes()).await.unwrap();
            for _ in 0..earlier {
                assert_eq!(client.answer().await.status(), 403);
            }
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.header("connection")), (414, Some("close")), "{length}");
            assert!(client.rest().await.is_empty());
        }
    }
    assert!(ollama.untouched().await);
}

#[tokio::test(start_paused = true)]
async fn fault_in_a_pipelined_request_leaves_earlier_ones_intact() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(40_000));
    for (later, status) in [
        (format!("POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n"), 400),
        (
            format!("POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n"),
            400,
        ),
        (format!("GET /#x HTTP/1.1\r\n{HOST}\r\n"), 400),
        (long, 414),
    ] {
        let mut client = proxy.client().await;
        client.send(get("/api/tags") + &later).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        pass(Duration::from_millis(1)).await; // until all that is read ahead of the later request has been read
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.answer().await.text(), "ok", "{later:.60}");
        assert_eq!(client.answer().await.status(), status, "{later:.60}");
        assert!(client.rest().await.is_empty());
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn refusal_quotes_only_a_short_part_of_the_request() {
    let proxy = Boundary::new("http://127.0.0.1:1").start();
    for line in [format!("{} /api/tags", "X".repeat(30_000)), format!("GET /{}", "x".repeat(30_000))] {
        let answer = proxy.ask(&format!("{line} HTTP/1.1\r\n{HOST}\r\n")).await;
        assert!(matches!(answer.status(), 403 | 405) && answer.body.len() < 500, "{answer:?}");
    }
}

#[tokio::test]
async fn too_large_head_is_refused() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for headers in [format!("X: {}\r\n", "x".repeat(40_000)), "X: x\r\n".repeat(200)] {
        let mut client = proxy.client().await;
        client.send(format!("GET /api/tags HTTP/1.1\r\n{HOST}{headers}\r\n")).await;
        assert_eq!(client.answer().await.status(), 431);
        assert!(client.rest().await.is_empty());
    }
    assert!(ollama.untouched().await);
}

/// docs/troubleshooting.md, "No request": bytes that form no request get a status without a text.
#[tokio::test]
async fn bytes_that_are_no_request_get_an_empty_answer() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for (head, status) in [
        (format!("GET /api/tags HTTP/1.1\r\n{HOST}{}\r\n", "X: y\r\n".repeat(100)), 431),
        (format!("GET /api/tags HTTP/1.2\r\n{HOST}\r\n"), 400),
        (format!("GET /api/tags HTTP/1.1\r\nX : y\r\n{HOST}\r\n"), 400),
    ] {
        let mut client = proxy.client().await;
        client.send(&head).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text()), (status, ""), "{head}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn absolute_and_other_forms_of_target_are_refused() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for line in [
        "GET http://remote-ollama-proxy/api/tags HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET //api/tags HTTP/1.1",
        "GET /api/./tags HTTP/1.1",
        "GET /api/%74ags HTTP/1.1",
        "GET /v1/models/a%2Fb HTTP/1.1",
        "GET /api\\tags HTTP/1.1",
    ] {
        let answer = proxy.ask(&format!("{line}\r\n{HOST}\r\n")).await;
        assert!(matches!(answer.status(), 400 | 403), "{line}: {answer:?}");
    }
    assert!(ollama.untouched().await);
}
