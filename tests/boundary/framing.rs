//! Requests whose end two readers could see in different places get 400 and the end of the
//! connection, and nothing of them arrives.

use crate::support::*;

const HOST: &str = "Host: remote-ollama-proxy\r\n";
const SMUGGLED: &str = "POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n";

#[tokio::test]
async fn ambiguous_heads_are_refused_and_end_the_connection() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for head in [
        "GET /api/tags HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /api/tags HTTP/1.1\r\n{HOST}{HOST}\r\n"),
        format!("GET /api/tags HTTP/1.1\n{HOST}\r\n"),
        format!("GET /api/tags HTTP/1.1\r\n{HOST}X: 1\nY: 2\r\n\r\n"),
        format!("GET /api/tags HTTP/1.1\r\n{HOST}X: 1\r\n folded\r\n\r\n"),
        format!("GET /api/tags#x HTTP/1.1\r\n{HOST}\r\n"),
        format!(
            "POST /api/show HTTP/1.1\r\n{HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("POST /api/show HTTP/1.1\r\n{HOST}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"),
        format!("POST /api/show HTTP/1.1\r\n{HOST}Content-Length: 4, 4\r\n\r\nabcd"),
        format!("POST /api/show HTTP/1.1\r\n{HOST}Content-Length: +4\r\n\r\nabcd"),
        format!("POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!(
            "POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("POST /api/show HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /api/tags HTTP/1.2\r\n{HOST}\r\n"),
    ] {
        let mut client = proxy.client().await;
        client.send(format!("{head}{SMUGGLED}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 400, "{head:?}: {answer:?}");
        assert!(client.rest().await.is_empty(), "an answer to what came after {head:?}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn too_much_head_is_refused() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for headers in [format!("X: {}\r\n", "x".repeat(40_000)), "X: x\r\n".repeat(200)] {
        let mut client = proxy.client().await;
        client.send(format!("GET /api/tags HTTP/1.1\r\n{HOST}{headers}\r\n")).await;
        assert_eq!(client.answer().await.status(), 431);
        assert!(client.rest().await.is_empty());
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn a_malformed_chunk_ends_the_request_upstream_too() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for bad in ["3;x=y\r\nabc\r\n", "zz\r\n", "3\nabc\r\n", "3\r\nabcX\r\n", "0\r\nTrailer: x\r\n\r\n"] {
        let mut client = proxy.client().await;
        client
            .send(format!("POST /api/show HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"))
            .await;
        let mut upstream = ollama.accept().await;
        let head = upstream.head().await.unwrap();
        assert_eq!(upstream.chunk().await.unwrap(), b"{}", "{head}");
        client.send(format!("{bad}{SMUGGLED}")).await;
        assert_eq!(client.answer().await.status(), 400, "{bad:?}");
        assert!(client.rest().await.is_empty());
        let rest = upstream.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "the request was completed for {bad:?}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn absolute_and_other_forms_of_target_are_refused() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
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
