//! A proxy over in-memory streams, a client that speaks raw bytes to it, and a stand-in for Ollama
//! that shows what arrives and lets the test write the answer.

use std::sync::Arc;
use std::time::Duration;

use remote_ollama_proxy::listen::Listen;
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::{EndpointSet, Hosts, Policy};
use remote_ollama_proxy::proxy::{Drained, Proxy};
use remote_ollama_proxy::upstream::Upstream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Nothing in these tests waits for a clock; this only turns a hang into a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting for this after {PATIENCE:?}: {what}"),
    }
}

pub(crate) fn policy() -> Policy {
    let mut hosts = Hosts::default();
    hosts.add_dns_name("remote-ollama-proxy.tailnet.test");
    hosts.add_ip("100.64.0.1".parse().unwrap());
    Policy { endpoints: EndpointSet::default(), preflight: true, hosts }
}

pub(crate) fn peer() -> Peer {
    Peer {
        addr: "100.64.0.2:50000".parse().unwrap(),
        node: "laptop.tailnet.test".to_owned(),
        stable_id: "n2".to_owned(),
        user: Some("anna@example.com".to_owned()),
        tags: Vec::new(),
        os: "linux".to_owned(),
    }
}

struct Memory(mpsc::Receiver<DuplexStream>);

impl Listen for Memory {
    type Io = DuplexStream;

    async fn accept(&mut self) -> std::io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, peer())),
            None => std::future::pending().await,
        }
    }
}

/// A running proxy.
pub(crate) struct Running {
    connect: mpsc::Sender<DuplexStream>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<Drained>>,
    pub(crate) policy: watch::Sender<Arc<Policy>>,
}

impl Running {
    pub(crate) fn new(policy: Policy, upstream: &str) -> Running {
        Self::with_drain(policy, upstream, PATIENCE)
    }

    pub(crate) fn with_drain(policy: Policy, upstream: &str, drain: Duration) -> Running {
        let (sender, current) = watch::channel(Arc::new(policy));
        let proxy = Proxy::new(current, Upstream::parse(upstream).unwrap());
        let (connect, incoming) = mpsc::channel(64);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            proxy.serve(Memory(incoming), stopped, drain).await
        });
        Running { connect, stop, task, policy: sender }
    }

    pub(crate) async fn client(&self) -> Client<DuplexStream> {
        let (near, far) = tokio::io::duplex(64 << 10);
        self.connect.send(far).await.unwrap();
        Client::new(near)
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    pub(crate) fn stop(self) -> JoinHandle<std::io::Result<Drained>> {
        let _ = self.stop.send(());
        self.task
    }
}

/// A request with the right Host and the given further lines, each with its line end.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: remote-ollama-proxy:11434\r\n\r\n")
}

pub(crate) fn post(target: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: remote-ollama-proxy:11434\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One end of an HTTP connection, a byte at a time.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

/// A message's head and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then_some(v.trim())
    })
}

impl<S: AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Client { stream, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("sending", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until `done` finds what it wants in the unread bytes and says how many to take;
    /// `None` if the stream ends first.
    async fn until(&mut self, what: &str, done: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
        loop {
            if let Some(n) = done(&self.unread) {
                return Some(self.unread.drain(..n).collect());
            }
            if soon(what, self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The head of the next message, without its empty line.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let end = |b: &[u8]| b.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        let head = self.until("a head", end).await?;
        Some(String::from_utf8_lossy(&head[..head.len() - 4]).into_owned())
    }

    /// Exactly `n` bytes.
    pub(crate) async fn bytes(&mut self, n: usize) -> Vec<u8> {
        self.until("bytes", |b| (b.len() >= n).then_some(n)).await.expect("the stream ended early")
    }

    /// One chunk of a chunked body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line =
            self.until("a chunk", |b| b.windows(2).position(|w| w == b"\r\n").map(|at| at + 2)).await?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).expect("a chunk size");
        let data = self.until("a chunk's data", |b| (b.len() >= size + 2).then_some(size + 2)).await?;
        Some(data[..size].to_vec())
    }

    /// The body that belongs to `head`.
    pub(crate) async fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        if header(head, "transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    return Some(body);
                }
                body.extend(chunk);
            }
        }
        let length = header(head, "content-length").map_or(0, |n| n.parse().unwrap());
        self.until("a body", |b| (b.len() >= length).then_some(length)).await
    }

    /// The next whole message.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await.expect("the connection ended without an answer");
        let body = self.body(&head).await.expect("the connection ended within an answer");
        Answer { head, body }
    }

    /// Waits for the end of the stream; what came before it.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while soon("the end", self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) > 0 {}
        std::mem::take(&mut self.unread)
    }
}

/// Ollama's place taken by the test.
pub(crate) struct Ollama {
    pub(crate) url: String,
    listener: TcpListener,
}

impl Ollama {
    pub(crate) async fn new() -> Ollama {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Ollama { url: format!("http://{}", listener.local_addr().unwrap()), listener }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Client<TcpStream> {
        Client::new(soon("a connection to Ollama", self.listener.accept()).await.unwrap().0)
    }

    /// Whether anything has been connected and not yet accepted.
    pub(crate) async fn untouched(&self) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(self.listener.poll_accept(cx).is_pending())).await
    }

    /// Answers every request with `answer`, and returns the heads and bodies as they come.
    pub(crate) fn answering(self, answer: &'static str) -> (String, mpsc::UnboundedReceiver<Answer>) {
        let (seen, requests) = mpsc::unbounded_channel();
        let url = self.url.clone();
        tokio::spawn(async move {
            loop {
                let mut conn = Client::new(self.listener.accept().await.unwrap().0);
                let seen = seen.clone();
                tokio::spawn(async move {
                    while let Some(head) = conn.head().await {
                        let Some(body) = conn.body(&head).await else { return };
                        let _ = seen.send(Answer { head, body });
                        conn.send(answer).await;
                    }
                });
            }
        });
        (url, requests)
    }
}
