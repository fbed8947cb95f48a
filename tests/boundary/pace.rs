//! Timeouts for silent clients. Ollama has none.

use std::time::Duration;

use remote_ollama_proxy::admission::{Limits, Timeouts};

use crate::support::*;

/// Never reached here.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);
/// Several of the short timeouts. A fault would show by then.
const A_WHILE: Duration = Duration::from_millis(400);

const LENIENT: Timeouts = Timeouts { head: LONG, body: LONG, answer: LONG, idle: LONG };

#[tokio::test(start_paused = true)]
async fn unfinished_head_is_408() {
    let (url, _seen) = Ollama::new().await.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = Boundary::new(&url).timeouts(Timeouts { head: SHORT, ..LENIENT }).start();
    let mut client = proxy.client().await;
    client.send("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\n").await;
    assert_eq!(client.answer().await.status(), 408);
    assert!(client.rest().await.is_empty());

    // Also the second request of a connection, after the first one was answered.
    let mut client = proxy.client().await;
    client.send(get("/api/tags") + "GET /api/").await;
    assert_eq!(client.answer().await.text(), "ok");
    let late = client.answer().await;
    assert_eq!((late.status(), late.header("connection")), (408, Some("close")));
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;
}

#[tokio::test(start_paused = true)]
async fn malformed_unfinished_head_is_408() {
    let proxy = Boundary::new("http://127.0.0.1:1").timeouts(Timeouts { head: SHORT, ..LENIENT }).start();
    let mut client = proxy.client().await;
    client.send("POST /api/show HTTP/1.1\nHost: remote-ollama-proxy\n").await;
    assert_eq!(client.answer().await.status(), 408);
    proxy.has(0).await;
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed() {
    let (url, _seen) = Ollama::new().await.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = Boundary::new(&url).timeouts(Timeouts { idle: SHORT, ..LENIENT }).start();
    assert!(proxy.client().await.rest().await.is_empty());

    let mut client = proxy.client().await;
    client.send(get("/api/tags")).await;
    assert_eq!(client.answer().await.text(), "ok");
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;

    // The timeout starts after the answer, even if the answer took longer than the timeout.
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).timeouts(Timeouts { idle: SHORT * 10, ..LENIENT }).start();
    let (mut client, mut upstream) = proxy.stream(&ollama).await;
    pass(SHORT * 12).await;
    upstream.send("0\r\n\r\n").await;
    assert!(client.chunk().await.unwrap().is_empty());
    client.send(get("/nowhere")).await;
    assert_eq!(client.answer().await.status(), 403);
    assert!(client.rest().await.is_empty());
    proxy.has(0).await;
}

#[tokio::test(start_paused = true)]
async fn stalled_body_is_408_and_frees_ollama() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).timeouts(Timeouts { body: SHORT, ..LENIENT }).start();
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

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_is_cut() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).timeouts(Timeouts { answer: SHORT, ..LENIENT }).start();
    let (_client, mut upstream) = proxy.stream(&ollama).await;
    // More than all buffers hold. The connection to Ollama ends while it is sent.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    soon("the end of Ollama's connection", async {
        use tokio::io::AsyncWriteExt;
        while upstream.stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;
    proxy.has(0).await;
}

#[tokio::test(start_paused = true)]
async fn slow_ollama_does_not_time_out_the_client() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url)
        .timeouts(Timeouts { head: SHORT, body: SHORT, answer: SHORT, idle: SHORT })
        .start();
    let mut client = proxy.client().await;
    // The beginning of the next request waits for the first answer, so its timer does not run.
    client.send(post("/v1/chat/completions", "{}") + "GET /api").await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    pass(A_WHILE).await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.chunk().await.unwrap(), b"hello");
    pass(A_WHILE).await;
    upstream.send("5\r\nworld\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"world");
    assert!(client.chunk().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn body_blocked_by_ollama_does_not_time_out() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).timeouts(Timeouts { body: SHORT, ..LENIENT }).start();
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
    pass(A_WHILE).await;
    assert_eq!(upstream.body(&head).await.unwrap().len(), size);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mut client = Client::new(read.unsplit(sending.await.unwrap()));
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test(start_paused = true)]
async fn client_refused_mid_upload_gets_the_answer() {
    let proxy = Boundary::new("http://127.0.0.1:1").timeouts(LENIENT).start();
    let mut client = proxy.client().await;
    client
        .send("POST /api/pull HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 100000\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status(), 403);
    // The proxy reads the rest; otherwise a reset would overtake the answer.
    client.send("x".repeat(100_000)).await;
    client.send(get("/nowhere")).await;
    assert_eq!(client.answer().await.status(), 403);
}

/// Reads an answer of that size in small pieces; returns how many bytes arrived.
async fn sip(client: &mut Client<tokio::io::DuplexStream>, size: usize, pause: Duration) -> usize {
    use tokio::io::AsyncReadExt;
    let (mut got, mut buf) = (0, vec![0; 16 << 10]);
    while got < size {
        match client.stream.read(&mut buf).await {
            Ok(0) | Err(_) => break,
            Ok(n) => got += n,
        }
        pass(pause).await;
    }
    got
}

/// The end of an answer may be read long after Ollama sent it, even if Ollama took long to start.
#[tokio::test(start_paused = true)]
async fn slow_reader_gets_the_whole_answer() {
    const SIZE: usize = 500_000;
    for thinking in [60, 180] {
        let ollama = Ollama::new().await;
        let proxy = Boundary::new(&ollama.url).timeouts(Timeouts::default()).start();
        let mut client = proxy.client().await;
        client.send(post("/v1/chat/completions", "{}")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        pass(Duration::from_secs(thinking)).await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n{}", "x".repeat(SIZE));
        let writing = tokio::spawn(async move {
            upstream.send(answer).await;
            upstream
        });
        assert!(sip(&mut client, SIZE, Duration::from_secs(20)).await >= SIZE, "after {thinking} s");
        drop(writing.await.unwrap());
    }
}

/// The client is silent while its request waits for a slot.
#[tokio::test(start_paused = true)]
async fn stalled_body_is_408_while_waiting() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 1, waiting: 9, wait: LONG, ..Limits::NONE };
    let pace = Timeouts { body: SHORT, ..LENIENT };
    let proxy = Boundary::new(&ollama.url).limits(limits).timeouts(pace).start();
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
    // Backpressure of the proxy is not the client's silence, and bytes after a whole request are not its body.
    let mut full = proxy.client().await;
    full.send(format!("{begin}{}", "x".repeat(60_000))).await;
    let mut whole = proxy.client().await;
    whole.send(post("/v1/chat/completions", "{}") + begin + "{").await;
    proxy.waits(2).await;
    pass(A_WHILE).await;
    proxy.waits(2).await;
}

#[tokio::test(start_paused = true)]
async fn halves_of_empty_lines_do_not_reset_the_idle_timeout() {
    // The head timeout has not started either.
    let proxy = Boundary::new("http://127.0.0.1:1")
        .timeouts(Timeouts { idle: SHORT * 2, head: SHORT, ..LENIENT })
        .start();
    let mut client = proxy.client().await;
    soon("the connection to be closed", async {
        use tokio::io::AsyncWriteExt;
        for half in [b"\r", b"\n"].into_iter().cycle() {
            if client.stream.write_all(half).await.is_err() {
                break;
            }
            pass(SHORT / 5).await;
        }
    })
    .await;
    proxy.has(0).await;
    let answer = client.rest().await;
    assert!(answer.is_empty(), "no head has begun: {}", String::from_utf8_lossy(&answer));
}

#[tokio::test(start_paused = true)]
async fn empty_lines_do_not_reset_the_idle_timeout() {
    let proxy = Boundary::new("http://127.0.0.1:1").timeouts(Timeouts { idle: SHORT, ..LENIENT }).start();
    let mut client = proxy.client().await;
    soon("the connection to be closed", async {
        use tokio::io::AsyncWriteExt;
        while client.stream.write_all(b"\r\n").await.is_ok() {
            pass(SHORT / 5).await;
        }
    })
    .await;
    proxy.has(0).await;
}

/// With half a body sent and an answer unread, the answer timeout decides.
#[tokio::test(start_paused = true)]
async fn client_that_neither_sends_nor_reads_is_cut() {
    let ollama = Ollama::new().await;
    let proxy =
        Boundary::new(&ollama.url).timeouts(Timeouts { body: SHORT, answer: SHORT * 4, ..LENIENT }).start();
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
