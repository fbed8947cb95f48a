//! The end of a request's body. With plain framing the body passes, and the next bytes are the next request. With any
//! other framing, Ollama never receives a whole request.

use crate::support::*;

const HOST: &str = "Host: remote-ollama-proxy\r\n";
const SMUGGLED: &str = "POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n";

/// Bytes after a valid first chunk.
const CHUNKS: &[&str] = &[
    "-3\r\nabc\r\n",
    "+3\r\nabc\r\n",
    "0x3\r\nabc\r\n",
    "3h\r\nabc\r\n",
    "g\r\nabc\r\n",
    " 3\r\nabc\r\n",
    "3 \r\nabc\r\n",
    "\t3\r\nabc\r\n",
    "3\t\r\nabc\r\n",
    "3\0\r\nabc\r\n",
    "3,3\r\nabc\r\n",
    "3.0\r\nabc\r\n",
    "\u{ff13}\r\nabc\r\n",
    "3;\r\nabc\r\n",
    "3;x\r\nabc\r\n",
    "3;x=y\r\nabc\r\n",
    "3 ;x=y\r\nabc\r\n",
    "3;x=\"\r\n\"\r\nabc\r\n",
    "\r\nabc\r\n",
    "\r\n\r\n",
    "\n",
    "3\nabc\r\n",
    "3\rabc\r\n",
    "3\r\r\nabc\r\n",
    "3\r\nabc\n",
    "3\r\nabc\r0\r\n\r\n",
    "3\r\nabc\r\r\n",
    "3\r\nabcX\r\n",
    "3\r\nabc0\r\n\r\n",
    "3\r\nab\r\n0\r\n\r\n",
    "8000000000000000\r\nabc\r\n",
    "ffffffffffffffff\r\nabc\r\n",
    "10000000000000003\r\nabc\r\n",
    "00000000000000003\r\nabc\r\n",
    "fffffffffffffffffffffffffffffffffffffff\r\nabc\r\n",
    "0\n\r\n",
    "0\r\n\n",
    "0\n\n",
    "0\r\r\n\r\n",
    "0;x\r\n\r\n",
    "0 \r\n\r\n",
    "-0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\n\0\r\n\r\n",
];

#[tokio::test]
async fn malformed_chunk_ends_the_request_at_ollama_too() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for bad in CHUNKS {
        let mut client = proxy.client().await;
        client
            .send(format!("POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"))
            .await;
        let mut upstream = ollama.accept().await;
        let head = upstream.head().await.unwrap();
        assert_eq!(upstream.chunk().await.unwrap(), b"{}", "{head}");
        client.send(format!("{bad}{SMUGGLED}")).await;
        assert_eq!(client.answer().await.status(), 400, "{bad:?}");
        assert!(client.rest().await.is_empty(), "{bad:?}");
        let rest = upstream.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "the request was completed for {bad:?}");
    }
    assert!(ollama.untouched().await);
}

/// The same in one piece: Ollama may receive a part of the request before the fault is found, but never all of it.
#[tokio::test]
async fn malformed_chunk_sent_with_its_head_completes_no_request() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for bad in CHUNKS {
        let mut client = proxy.client().await;
        client
            .send(format!(
                "POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{bad}{SMUGGLED}"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 400, "{bad:?}");
        assert!(client.rest().await.is_empty(), "{bad:?}");
        if !ollama.untouched().await {
            let rest = ollama.accept().await.rest().await;
            assert!(!rest.ends_with(b"0\r\n\r\n"), "the request was completed for {bad:?}");
        }
    }
}

/// Header lines and a body of five bytes, and the header that Ollama receives.
const SOUND: &[(&str, &str)] = &[
    ("Content-Length: 5", "hello"),
    ("content-LENGTH:5", "hello"),
    ("Content-Length:   5  ", "hello"),
    ("Content-Length: 00005", "hello"),
    ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("transfer-encoding:CHUNKED", "3\r\nhel\r\n02\r\nlo\r\n00\r\n\r\n"),
    ("Transfer-Encoding:   Chunked  ", "0000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("X:\r\nX: \u{e9}\ty\r\nContent-Length: 5", "hello"),
];

#[tokio::test]
async fn plain_framing_passes_and_requests_stay_apart() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for (headers, body) in SOUND {
        for end in ["", "\r\n", "\r\n\r\n"] {
            let mut client = proxy.client().await;
            let next = get("/api/version");
            client
                .send(format!(
                    "POST /api/show HTTP/1.1\r\n{HOST}{headers}\r\n\r\n{body}{end}{SMUGGLED}{next}"
                ))
                .await;
            let mut upstream = ollama.accept().await;
            let head = upstream.head().await.unwrap();
            assert_eq!(upstream.body(&head).await.unwrap(), b"hello", "{headers:?}: {head}");
            let framing = (header(&head, "content-length"), header(&head, "transfer-encoding"));
            assert!(matches!(framing, (Some("5"), None) | (None, Some("chunked"))), "{headers:?}: {head}");
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            assert_eq!(client.answer().await.text(), "ok", "{headers:?}");
            assert_eq!(client.answer().await.status(), 403, "{headers:?}");
            assert!(upstream.head().await.unwrap().starts_with("GET /api/version "), "{headers:?}");
        }
    }
}
