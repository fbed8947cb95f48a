//! A stand-in for Ollama. The query of each request says how to answer it; the stand-in notes when it arrived and when
//! it ended.
//!
//! `?n=7&do=silent`: request number 7, which is never answered. Instead of `silent`: `stuck` (also reads nothing),
//! `stream` (`count` chunks, one every `ms`), `flood` (`bytes` as fast as they are read), or nothing: an answer at
//! once. Each number is used once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::http::{header, soon};

pub(crate) struct Standin {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: watch::Sender<HashMap<u64, Seen>>,
    /// Bytes of answers that have been written.
    written: AtomicU64,
}

/// The state of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// When it reached this state.
    at: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Here,
    Answered,
    /// Its connection ended before it was answered.
    Gone,
}

/// Small, so that backpressure shows early.
const BUFFER: u32 = 32 << 10;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

impl Standin {
    pub(crate) async fn new() -> Standin {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(BUFFER).unwrap();
        socket.set_send_buffer_size(BUFFER).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(4096).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let standin = Standin { url, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { shared.serve(BufReader::new(stream)).await });
            }
        });
        standin
    }

    /// Waits until request `n` has arrived.
    pub(crate) async fn has(&self, n: u64) {
        self.until(&format!("request {n} at Ollama"), |seen| seen.get(&n).copied()).await;
    }

    /// Waits until the connection of request `n` ends before its answer; returns when.
    pub(crate) async fn lost(&self, n: u64) -> Instant {
        let gone = |seen: &HashMap<u64, Seen>| seen.get(&n).filter(|s| s.state != State::Here).copied();
        let seen = self.until(&format!("the end of request {n} at Ollama"), gone).await;
        assert_eq!(seen.state, State::Gone, "request {n} was answered");
        seen.at
    }

    /// The number of requests so far, and of those still running.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let seen = self.shared.seen.borrow();
        (seen.len(), seen.values().filter(|s| s.state == State::Here).count())
    }

    /// Waits until this many requests are running.
    pub(crate) async fn runs(&self, requests: usize) {
        let here = |seen: &HashMap<u64, Seen>| {
            (seen.values().filter(|s| s.state == State::Here).count() == requests).then_some(())
        };
        self.until(&format!("{requests} requests at Ollama at once"), here).await;
    }

    /// Bytes of answers that have been written.
    pub(crate) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    async fn until<T>(&self, what: &str, found: impl Fn(&HashMap<u64, Seen>) -> Option<T>) -> T {
        let mut changes = self.shared.seen.subscribe();
        soon(what, async {
            loop {
                if let Some(found) = found(&changes.borrow_and_update()) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }
}

impl Shared {
    fn note(&self, n: u64, state: State) {
        let at = Instant::now();
        self.seen.send_modify(|seen| {
            seen.insert(n, Seen { at, state });
        });
    }

    async fn serve(&self, mut stream: BufReader<TcpStream>) {
        while let Some(head) = read_head(&mut stream).await {
            let n = query(&head, "n").expect("a number in each request");
            self.note(n, State::Here);
            let answered = self.answer(&mut stream, &head).await;
            self.note(n, if answered.is_some() { State::Answered } else { State::Gone });
            if answered.is_none() {
                return;
            }
        }
    }

    /// `None` if the connection has ended.
    async fn answer(&self, stream: &mut BufReader<TcpStream>, head: &str) -> Option<()> {
        let number = |name, default| query(head, name).unwrap_or(default);
        let does = |what: &str| head.lines().next().is_some_and(|l| l.contains(&format!("do={what}")));
        if does("stuck") {
            return broken(stream.get_ref()).await;
        }
        let length = header(head, "content-length").map_or(0, |n| n.parse().unwrap());
        let whole = tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await.ok()?;
        if whole < length || does("silent") {
            return end(stream).await;
        }
        let (mut from, mut to) = tokio::io::split(stream);
        let work = async {
            if does("stream") {
                to.write_all(HEAD.as_bytes()).await.ok()?;
                let mut ticks = tokio::time::interval(Duration::from_millis(number("ms", 20)));
                for _ in 0..number("count", u64::MAX) {
                    ticks.tick().await;
                    to.write_all(b"c\r\ndata: word\n\n\r\n").await.ok()?;
                }
                to.write_all(b"0\r\n\r\n").await.ok()
            } else if does("flood") {
                to.write_all(HEAD.as_bytes()).await.ok()?;
                let chunk = [b"4000\r\n".as_slice(), &[b'.'; 0x4000], b"\r\n"].concat();
                for _ in 0..number("bytes", u64::MAX).div_ceil(0x4000) {
                    to.write_all(&chunk).await.ok()?;
                    self.written.fetch_add(0x4000, Ordering::Relaxed);
                }
                to.write_all(b"0\r\n\r\n").await.ok()
            } else {
                to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.ok()
            }
        };
        // The proxy sends nothing before it has the answer, so a read sees only the end.
        tokio::select! {
            done = work => done,
            ended = end(&mut from) => ended,
        }
    }
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A number in the query of a request.
fn query(head: &str, name: &str) -> Option<u64> {
    let (_, query) = head.lines().next()?.split(' ').nth(1)?.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// Waits for the end of a connection by reading it.
async fn end(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await.ok();
    None
}

/// Waits for a reset without reading. The kernel reports no event while unread bytes wait.
async fn broken(stream: &TcpStream) -> Option<()> {
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    while matches!(stream.take_error(), Ok(None)) {
        looks.tick().await;
    }
    None
}
