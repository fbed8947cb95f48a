//! A client may be silent for so long; Ollama for as long as it likes.

use std::time::Duration;

use remote_ollama_proxy::admission::{Limits, Pace};
use remote_ollama_proxy::policy::AccessMode;

use crate::support::*;

/// Long enough never to be reached here.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);
/// Nothing of what must not happen within several of the short limits has happened after this.
const A_WHILE: Duration = Duration::from_millis(400);

const LENIENT: Pace = Pace { head: LONG, body: LONG, answer: LONG, idle: LONG };

fn paced(upstream: &str, pace: Pace) -> Running {
    Running::paced(policy(), upstream, PATIENCE, AccessMode::Network, Limits::NONE, pace)
}

#[tokio::test]
async fn a_head_that_does_not_end_is_408() {
    let (url, _seen) = Ollama::new().await.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = paced(&url, Pace { head: SHORT, ..LENIENT });
    let mut client = proxy.client().await;
    client.send("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\n").await;
    assert_eq!(client.answer().await.status(), 408);
    assert!(client.rest().await.is_empty());

    // The second request of a connection too, after the first was served.
    let mut client = proxy.client().await;
    client.send(get("/api/tags") + "GET /api/").await;
    assert_eq!(client.answer().await.text(), "ok");
    let late = client.answer().await;
    assert_eq!((late.status(), late.header("connection")), (408, Some("close")));
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;
}

#[tokio::test]
async fn a_head_in_a_broken_spelling_has_no_more_time() {
    let proxy = paced("http://127.0.0.1:1", Pace { head: SHORT, ..LENIENT });
    let mut client = proxy.client().await;
    client.send("POST /api/show HTTP/1.1\nHost: remote-ollama-proxy\n").await;
    assert_eq!(client.answer().await.status(), 408);
    proxy.has(0).await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let (url, _seen) = Ollama::new().await.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = paced(&url, Pace { idle: SHORT, ..LENIENT });
    assert!(proxy.client().await.rest().await.is_empty());

    let mut client = proxy.client().await;
    client.send(get("/api/tags")).await;
    assert_eq!(client.answer().await.text(), "ok");
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;

    // After an answer that took longer than that, too, and then not at once.
    let ollama = Ollama::new().await;
    let proxy = paced(&ollama.url, Pace { idle: SHORT * 10, ..LENIENT });
    let (mut client, mut upstream) = proxy.stream(&ollama).await;
    tokio::time::sleep(SHORT * 12).await;
    upstream.send("0\r\n\r\n").await;
    assert!(client.chunk().await.unwrap().is_empty());
    client.send(get("/nowhere")).await;
    assert_eq!(client.answer().await.status(), 403);
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_408_and_ollama_is_let_go() {
    let ollama = Ollama::new().await;
    let proxy = paced(&ollama.url, Pace { body: SHORT, ..LENIENT });
    for begun in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut client = proxy.client().await;
        client.send(format!("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{begun}")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.header("connection")), (408, Some("close")));
        assert!(answer.text().contains("body-idle"), "{}", answer.text());
        let arrived = upstream.rest().await;
        assert!(!arrived.ends_with(b"0\r\n\r\n"), "the part must not look whole");
        client.rest().await;
    }
    proxy.has(0).await;
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_cut() {
    let ollama = Ollama::new().await;
    let proxy = paced(&ollama.url, Pace { answer: SHORT, ..LENIENT });
    let (_client, mut upstream) = proxy.stream(&ollama).await;
    // More than all buffers on the way hold; the connection to Ollama ends under it.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    soon("the end of Ollama's connection", async {
        use tokio::io::AsyncWriteExt;
        while upstream.stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;
    proxy.has(0).await;
}

#[tokio::test]
async fn ollama_has_all_the_time_there_is() {
    let ollama = Ollama::new().await;
    let proxy = paced(&ollama.url, Pace { head: SHORT, body: SHORT, answer: SHORT, idle: SHORT });
    let mut client = proxy.client().await;
    // The beginning of a further request waits for its turn, which is not the client's fault.
    client.send(post("/v1/chat/completions", "{}") + "GET /api").await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.chunk().await.unwrap(), b"hello");
    tokio::time::sleep(A_WHILE).await;
    upstream.send("5\r\nworld\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"world");
    assert!(client.chunk().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_ollama_does_not_take_is_not_the_clients_silence() {
    let ollama = Ollama::new().await;
    let proxy = paced(&ollama.url, Pace { body: SHORT, ..LENIENT });
    let (size, mut client) = (16 << 20, proxy.client().await);
    client
        .send(format!(
            "POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: {size}\r\n\r\n"
        ))
        .await;
    let mut upstream = ollama.accept().await;
    let head = upstream.head().await.unwrap();
    let (read, write) = tokio::io::split(client.stream);
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let mut write = write;
        write.write_all(&vec![b'x'; size]).await.unwrap();
        write
    });
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(upstream.body(&head).await.unwrap().len(), size);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mut client = Client::new(read.unsplit(sending.await.unwrap()));
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn who_is_refused_in_mid_upload_gets_the_answer() {
    let proxy = paced("http://127.0.0.1:1", LENIENT);
    let mut client = proxy.client().await;
    client
        .send("POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 100000\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status(), 403);
    // What is still on its way is taken, or its answer would be a reset that overtakes ours.
    client.send("x".repeat(100_000)).await;
    client.send(get("/nowhere")).await;
    assert_eq!(client.answer().await.status(), 403);
}

/// Reads an answer of that size, a little at a time; how much came.
async fn sip(client: &mut Client<tokio::io::DuplexStream>, size: usize, pause: Duration) -> usize {
    use tokio::io::AsyncReadExt;
    let (mut got, mut buf) = (0, vec![0; 16 << 10]);
    while got < size {
        match client.stream.read(&mut buf).await {
            Ok(0) | Err(_) => break,
            Ok(n) => got += n,
        }
        tokio::time::sleep(pause).await;
    }
    got
}

/// The last of an answer may be read long after Ollama has done its part, and that after a long time.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_whole_answer() {
    const SIZE: usize = 500_000;
    for thinking in [60, 180] {
        let ollama = Ollama::new().await;
        let proxy = paced(&ollama.url, Pace::default());
        let mut client = proxy.client().await;
        client.send(post("/v1/chat/completions", "{}")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        tokio::time::sleep(Duration::from_secs(thinking)).await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n{}", "x".repeat(SIZE));
        let writing = tokio::spawn(async move {
            upstream.send(answer).await;
            upstream
        });
        assert!(sip(&mut client, SIZE, Duration::from_secs(20)).await >= SIZE, "after {thinking} s");
        drop(writing.await.unwrap());
    }
}

/// The client is silent while its request waits for a turn that is not given.
#[tokio::test]
async fn body_that_does_not_go_on_is_408_in_the_queue_too() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 1, waiting: 9, wait: LONG, ..Limits::NONE };
    let pace = Pace { body: SHORT, ..LENIENT };
    let proxy = Running::paced(policy(), &ollama.url, PATIENCE, AccessMode::Network, limits, pace);
    let _running = proxy.stream(&ollama).await;
    let begin =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 100000\r\n\r\n";
    for begun in ["", "{"] {
        let mut client = proxy.client().await;
        client.send(format!("{begin}{begun}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.header("connection")), (408, Some("close")), "{begun:?}");
        assert!(answer.text().contains("body-idle"), "{}", answer.text());
    }
    // What the proxy does not read is not the client's silence, and what follows a whole request is not its body.
    let mut full = proxy.client().await;
    full.send(format!("{begin}{}", "x".repeat(60_000))).await;
    let mut whole = proxy.client().await;
    whole.send(post("/v1/chat/completions", "{}") + begin + "{").await;
    proxy.waits(2).await;
    tokio::time::sleep(A_WHILE).await;
    proxy.waits(2).await;
}

#[tokio::test]
async fn halves_of_empty_lines_are_no_request() {
    // The time for a head has not begun, either.
    let proxy = paced("http://127.0.0.1:1", Pace { idle: SHORT * 2, head: SHORT, ..LENIENT });
    let mut client = proxy.client().await;
    soon("the connection to be closed", async {
        use tokio::io::AsyncWriteExt;
        for half in [b"\r", b"\n"].into_iter().cycle() {
            if client.stream.write_all(half).await.is_err() {
                break;
            }
            tokio::time::sleep(SHORT / 5).await;
        }
    })
    .await;
    proxy.has(0).await;
    let told = client.rest().await;
    assert!(told.is_empty(), "no head has begun: {}", String::from_utf8_lossy(&told));
}

#[tokio::test]
async fn empty_lines_are_no_request() {
    let proxy = paced("http://127.0.0.1:1", Pace { idle: SHORT, ..LENIENT });
    let mut client = proxy.client().await;
    soon("the connection to be closed", async {
        use tokio::io::AsyncWriteExt;
        while client.stream.write_all(b"\r\n").await.is_ok() {
            tokio::time::sleep(SHORT / 5).await;
        }
    })
    .await;
    proxy.has(0).await;
}

/// Half a body, and an answer that began all the same and is not read: the client's time for the
/// answer decides.
#[tokio::test]
async fn who_neither_sends_nor_reads_is_cut() {
    let ollama = Ollama::new().await;
    let proxy = paced(&ollama.url, Pace { body: SHORT, answer: SHORT * 4, ..LENIENT });
    let mut client = proxy.client().await;
    client
        .send("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 9000\r\n\r\n{")
        .await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    soon("the end of Ollama's connection", async {
        use tokio::io::AsyncWriteExt;
        while upstream.stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;
    proxy.has(0).await;
}
