//! Each client gets its own answer or a visible failure, whatever Ollama sends.

use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use crate::support::*;

/// An answer to request `@`, and an unsolicited one.
const OWN: &str = "HTTP/1.1 200 OK\r\nX-Mark: @\r\nContent-Length: 3\r\n\r\n<@>";
const STALE: &str = "HTTP/1.1 200 OK\r\nX-Mark: stale\r\nContent-Length: 7\r\n\r\n<stale>";

const OK: &str = "HTTP/1.1 200 OK\r\nX-Mark: @\r\n";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nX-Mark: @\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<@>\r\n";

/// What the client must receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Its own answer.
    Own,
    /// 502, or a visibly truncated beginning of its own answer.
    Failed,
}
use Outcome::{Failed, Own};

/// The stand-in's answer to a method, whether it closes afterwards, and the result. `OK` stands for the first lines of
/// an answer to the request, `CHUNKS` for those of a chunked one.
const ANSWERS: &[(&str, &str, bool, Outcome)] = &[
    ("GET", "OWN", false, Own),
    ("GET", "OWN", true, Own),
    ("GET", "OWN-----", false, Own),
    ("GET", "OWN\r\n\r\n", false, Own),
    ("GET", "OWNSTALE", false, Own),
    ("GET", "OWNSTALE", true, Own),
    ("GET", "OWNOWNSTALE", false, Own),
    ("GET", "OWNHTTP/1.1 100 Continue\r\n\r\n", false, Own),
    ("GET", "OWNHTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", true, Own),
    ("GET", "HTTP/1.1 100 Continue\r\n\r\nOWN", false, Own),
    ("GET", "HTTP/1.1 102 Processing\r\nX-Mark: stale\r\n\r\nOWN", false, Own),
    ("GET", "HTTP/1.1 103 Early Hints\r\nLink: </stale>\r\n\r\nOWN", false, Own),
    ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nOWNSTALE", false, Own),
    ("GET", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhelloOWN", false, Failed),
    ("GET", "HTTP/1.1 100 Continue\r\n\r\n", true, Failed),
    ("GET", "OKContent-Length: 1\r\n\r\n<@>", false, Own),
    ("GET", "OKContent-Length: 0\r\n\r\n<@>STALE", false, Own),
    ("GET", "OKContent-Length: 9\r\n\r\n<@>", true, Failed),
    ("GET", "OKContent-Length: 3\r\nContent-Length: 4\r\n\r\n<@>STALE", false, Failed),
    ("GET", "OK\r\n<@>", true, Own),
    ("GET", "CHUNKS0\r\n\r\nSTALE", false, Own),
    ("GET", "CHUNKS0\r\nX-Mark: stale\r\n\r\n", false, Own),
    ("GET", "CHUNKSSTALE", true, Failed),
    ("GET", "CHUNKS9\r\n<@>", true, Failed),
    ("GET", "HTTP/1.0 200 OK\r\nX-Mark: @\r\nContent-Length: 3\r\n\r\n<@>STALE", false, Own),
    ("GET", "HTTP/1.1 204 No Content\r\nX-Mark: @\r\n\r\n<stale>", false, Own),
    ("GET", "HTTP/1.1 204 No Content\r\nX-Mark: @\r\nContent-Length: 7\r\n\r\n<stale>", false, Own),
    ("GET", "HTTP/1.1 204 No Content\r\nX-Mark: @\r\n\r\nSTALE", false, Own),
    ("GET", "HTTP/1.1 304 Not Modified\r\nX-Mark: @\r\n\r\nSTALE", false, Own),
    ("GET", "HTTP/1.1 304 Not Modified\r\nX-Mark: @\r\nContent-Length: 7\r\n\r\n<stale>", false, Own),
    ("HEAD", "OKContent-Length: 3\r\n\r\n", false, Own),
    ("HEAD", "OWN", false, Own),
    ("HEAD", "OWNSTALE", false, Own),
    ("HEAD", "CHUNKS0\r\n\r\n", false, Own),
    ("POST", "OWN", false, Own),
    ("POST", "OWN", true, Own),
    ("POST", "OWNSTALE", false, Own),
    ("POST", "HTTP/1.1 100 Continue\r\n\r\nOWN", false, Own),
    ("POST", "OKContent-Length: 9\r\n\r\n<@>", true, Failed),
];

/// Answers each request before reading its body, with `answer` and the request's mark; returns the marks.
fn marking(ollama: Ollama, answer: String, close: bool) -> mpsc::UnboundedReceiver<String> {
    let (seen, marks) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let mut conn = ollama.accept().await;
            let (answer, seen) = (answer.clone(), seen.clone());
            tokio::spawn(async move {
                while let Some(head) = conn.head().await {
                    let mark = header(&head, "x-mark").unwrap().to_owned();
                    let _ = seen.send(mark.clone());
                    conn.send(answer.replace('@', &mark)).await;
                    if close || conn.body(&head).await.is_none() {
                        return;
                    }
                }
            });
        }
    });
    marks
}

/// A request with that mark. A POST names its own model.
fn request(method: &str, mark: u8) -> String {
    let (path, body) = match method {
        "POST" => ("/v1/chat/completions", format!(r#"{{"model":"m{mark}"}}"#)),
        _ => ("/api/tags", String::new()),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nX-Mark: {mark}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads the answer to the request with that mark, which must be its own or a failure; also whether the connection has
/// ended.
async fn outcome(client: &mut Client<DuplexStream>, method: &str, mark: u8) -> (Outcome, bool) {
    let Some(head) = client.head().await else { return (Failed, true) };
    if head.starts_with("HTTP/1.1 502 ") {
        return (Failed, client.body(&head).await.is_none());
    }
    assert_eq!(header(&head, "x-mark"), Some(mark.to_string().as_str()), "{head}");
    let bodiless = method == "HEAD" || [" 204 ", " 304 "].iter().any(|status| head[8..].starts_with(status));
    let Some(body) = (if bodiless { Some(Vec::new()) } else { client.body(&head).await }) else {
        let rest = client.rest().await.escape_ascii().to_string();
        assert!(!rest.contains("stale"), "{head} {rest}");
        return (Failed, true);
    };
    assert!(format!("<{mark}>").as_bytes().starts_with(&body), "{head} {}", body.escape_ascii());
    (Own, false)
}

#[tokio::test]
async fn malformed_answers_never_reach_another_request() {
    for (method, answer, close, expected) in ANSWERS {
        let answer = answer.replace("STALE", STALE).replace("OWN", OWN).replace("CHUNKS", CHUNKS);
        let answer = if let Some(rest) = answer.strip_prefix("OK") { format!("{OK}{rest}") } else { answer };
        for pipelined in [false, true] {
            let ollama = Ollama::new().await;
            let proxy = Boundary::new(&ollama.url).start();
            let _marks = marking(ollama, answer.clone(), *close);
            let mut client = proxy.client().await;
            if pipelined {
                client.send((1..5).map(|mark| request(method, mark)).collect::<String>()).await;
            }
            for mark in 1..5 {
                if !pipelined {
                    client.send(request(method, mark)).await;
                }
                let (outcome, ended) = outcome(&mut client, method, mark).await;
                assert_eq!(outcome, *expected, "request {mark}, pipelined: {pipelined}, {answer:?}");
                if ended && pipelined {
                    break;
                } else if ended {
                    client = proxy.client().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn unsolicited_answer_reaches_no_client() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let refused = "POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n";
    // Between two requests, and instead of a request that Ollama never receives.
    for between in ["", refused] {
        for late in [STALE, "HTTP/1.1 100 Continue\r\n\r\n", "\r\n", "0\r\n\r\n"] {
            let mut client = proxy.client().await;
            client.send(request("GET", 1)).await;
            let mut first = ollama.accept().await;
            first.head().await.unwrap();
            first.send(OWN.replace('@', "1")).await;
            assert_eq!(outcome(&mut client, "GET", 1).await, (Own, false));
            first.send(late).await;
            client.send(format!("{between}{}", request("GET", 2))).await;
            if !between.is_empty() {
                assert_eq!(client.answer().await.status(), 403);
            }
            let mut second = ollama.accept().await;
            second.head().await.unwrap();
            second.send(OWN.replace('@', "2")).await;
            assert_eq!(outcome(&mut client, "GET", 2).await, (Own, false), "{late:?}");
            assert!(first.rest().await.is_empty(), "the second request was sent here too: {late:?}");
        }
    }
}

#[tokio::test]
async fn two_clients_get_their_own_answers_in_any_order() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let (mut one, mut two) = (proxy.client().await, proxy.client().await);
    one.send(request("GET", 1)).await;
    let mut for_one = ollama.accept().await;
    two.send(request("GET", 2)).await;
    let mut for_two = ollama.accept().await;
    let head = "HTTP/1.1 200 OK\r\nX-Mark: @\r\nTransfer-Encoding: chunked\r\n\r\n";
    for turn in 0..20 {
        // In every other round, the first request is answered last.
        for (mark, upstream) in [("1", &mut for_one), ("2", &mut for_two)] {
            assert_eq!(header(&upstream.head().await.unwrap(), "x-mark"), Some(mark));
            upstream.send(head.replace('@', mark)).await;
        }
        for piece in ["1\r\n<\r\n", "1\r\n@\r\n", "1\r\n>\r\n", "0\r\n\r\n"] {
            if turn % 2 == 0 {
                for_two.send(piece.replace('@', "2")).await;
                for_one.send(piece.replace('@', "1")).await;
            } else {
                for_one.send(piece.replace('@', "1")).await;
                for_two.send(piece.replace('@', "2")).await;
            }
        }
        for (mark, client) in [(1, &mut one), (2, &mut two)] {
            assert_eq!(outcome(client, "GET", mark).await, (Own, false));
            client.send(request("GET", mark)).await;
        }
    }
    assert!(ollama.untouched().await);
}

/// Bytes that look like a request to a reader that has lost its position in a body.
const WITHIN: &str = "GET /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\nX-Mark: 7\r\n\r\n";

#[tokio::test]
async fn body_after_an_early_answer_is_not_read_as_requests() {
    for (repeats, sent_before) in [(1, 0), (1, 9), (1, usize::MAX), (20_000, 0), (20_000, 9), (20_000, 5_000)]
    {
        for chunked in [false, true] {
            let ollama = Ollama::new().await;
            let proxy = Boundary::new(&ollama.url).start();
            let mut marks = marking(ollama, OWN.to_owned(), false);
            let mut body = WITHIN.repeat(repeats);
            let mut framing = format!("Content-Length: {}", body.len());
            if chunked {
                framing = "Transfer-Encoding: chunked".to_owned();
                body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            }
            let (before, after) = body.split_at(sent_before.min(body.len()));
            let mut client = proxy.client().await;
            let head = "POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nX-Mark: 1\r\n";
            client.send(format!("{head}{framing}\r\n\r\n{before}")).await;
            assert_eq!(outcome(&mut client, "POST", 1).await, (Own, false), "{framing}");
            // The proxy may read the rest of the body, or close because of it.
            let rest = format!("{after}{}", request("GET", 2));
            let went = soon("the rest to go", client.stream.write_all(rest.as_bytes())).await;
            let (outcome, ended) = outcome(&mut client, "GET", 2).await;
            assert!(
                if outcome == Own { went.is_ok() } else { ended },
                "{framing}, {sent_before} bytes before"
            );
            let mut seen = vec![soon("a request", marks.recv()).await.unwrap()];
            while let Ok(mark) = marks.try_recv() {
                seen.push(mark);
            }
            assert_eq!(seen, if outcome == Own { vec!["1", "2"] } else { vec!["1"] }, "{framing}");
        }
    }
}
