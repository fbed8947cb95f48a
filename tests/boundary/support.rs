//! A proxy over in-memory streams, a client that speaks raw bytes to it, and a stand-in for Ollama
//! that shows what arrives and lets the test write the answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote_ollama_proxy::admission::{Limits, Pace};
use remote_ollama_proxy::audit::Now;
use remote_ollama_proxy::listen::{Accepted, Left, Listen};
use remote_ollama_proxy::ollama::Upstream;
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::{AccessMode, EndpointSet, Hosts, ModelRules, Policy};
use remote_ollama_proxy::proxy::{Drained, Proxy, Rules};
use remote_ollama_proxy::sink::{Labels, Output, Sink, in_json};
use remote_ollama_proxy::tailnet::{Address, Authorizer, Member, NodeStatus, PortMembers, Verdict};
use serde_json::Value;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use crate::http::*;

pub(crate) fn policy() -> Policy {
    let mut hosts = Hosts::default();
    hosts.add_dns_name("remote-ollama-proxy.tailnet.test");
    hosts.add_ip("100.64.0.1".parse().unwrap());
    Policy { endpoints: EndpointSet::default(), preflight: true, hosts, models: ModelRules::default() }
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

pub(crate) struct Memory(pub(crate) mpsc::Receiver<Accepted<DuplexStream>>);

impl Listen for Memory {
    type Io = DuplexStream;

    async fn accept(&mut self) -> std::io::Result<Accepted<DuplexStream>> {
        match self.0.recv().await {
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await,
        }
    }
}

/// The tailnet's word, as the test has it.
#[derive(Default)]
pub(crate) struct Word(Mutex<Option<Verdict>>);

impl Word {
    pub(crate) fn say(&self, admitted: bool, grants: Vec<Value>) {
        *self.0.lock().unwrap() = Some(if admitted { Verdict::Admit { grants } } else { Verdict::Refuse });
    }
}

impl Authorizer for Word {
    fn verdict(&self, _: &Peer, _: SocketAddr) -> Verdict {
        self.0.lock().unwrap().clone().unwrap_or(Verdict::Admit { grants: Vec::new() })
    }
}

impl Word {
    /// Of the port for Ollama and of the one for the metrics.
    pub(crate) fn port_members(&self) -> [PortMembers; 2] {
        let members = Arc::new(self.members());
        [local().port(), 9090].map(|port| PortMembers { port, members: Arc::clone(&members) })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let (admitted, grants) = match self.verdict(&peer(), local()) {
            Verdict::Admit { grants } => (true, grants),
            Verdict::Refuse => (false, Vec::new()),
        };
        let peer = peer();
        vec![Member {
            node: peer.node,
            stable_id: peer.stable_id,
            user: peer.user,
            tags: peer.tags,
            os: peer.os,
            online: true,
            addresses: vec![Address { ip: peer.addr.ip(), at: None, admitted, grants }],
            ..Member::default()
        }]
    }
}

fn local() -> SocketAddr {
    "100.64.0.1:11434".parse().unwrap()
}

/// Where the log or the journal goes.
pub(crate) fn sink(name: &'static str, output: impl Output) -> Arc<Sink> {
    let (to, report) = (format!("/var/{name}"), Box::new(|_: &_| {}));
    Arc::new(Sink::start(Labels { name, to, notice: in_json, report }, output).unwrap())
}

/// A running proxy.
pub(crate) struct Running {
    connect: mpsc::Sender<Accepted<DuplexStream>>,
    pub(crate) proxy: Proxy,
    pub(crate) word: Arc<Word>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<Drained>>,
    pub(crate) rules: watch::Sender<Arc<Rules>>,
}

impl Running {
    pub(crate) fn new(policy: Policy, upstream: &str) -> Running {
        Self::with(policy, upstream, PATIENCE, AccessMode::Network)
    }

    pub(crate) fn with(policy: Policy, upstream: &str, drain: Duration, access: AccessMode) -> Running {
        Self::limited(policy, upstream, drain, access, Limits::NONE)
    }

    pub(crate) fn limited(
        policy: Policy,
        upstream: &str,
        drain: Duration,
        access: AccessMode,
        limits: Limits,
    ) -> Running {
        Self::paced(policy, upstream, drain, access, limits, Pace::default())
    }

    pub(crate) fn paced(
        policy: Policy,
        upstream: &str,
        drain: Duration,
        access: AccessMode,
        limits: Limits,
        pace: Pace,
    ) -> Running {
        Self::listening(policy, upstream, drain, access, limits, pace, |http| http)
    }

    /// With listeners that are made from the one for HTTP.
    pub(crate) fn at<L: Listen + 'static>(
        policy: Policy,
        upstream: &str,
        limits: Limits,
        pace: Pace,
        ports: impl FnOnce(Memory) -> L,
    ) -> Running {
        Self::listening(policy, upstream, PATIENCE, AccessMode::Network, limits, pace, ports)
    }

    fn listening<L: Listen + 'static>(
        policy: Policy,
        upstream: &str,
        drain: Duration,
        access: AccessMode,
        limits: Limits,
        pace: Pace,
        ports: impl FnOnce(Memory) -> L,
    ) -> Running {
        let upstream = Arc::new(Upstream::parse(upstream).unwrap());
        let (rules, current) =
            watch::channel(Arc::new(Rules { policy, access, limits, pace, usage: false, upstream }));
        let word = Arc::new(Word::default());
        let tailnet: Arc<dyn Authorizer> = Arc::clone(&word) as _;
        let proxy = Proxy::new(current, tailnet);
        let (connect, incoming) = mpsc::channel(64);
        let (stop, stopped) = oneshot::channel();
        let (serving, listener) = (proxy.clone(), ports(Memory(incoming)));
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serving.serve(listener, stopped, tokio::time::sleep(drain)).await
        });
        Running { connect, proxy, word, stop, task, rules }
    }

    pub(crate) async fn client(&self) -> Client<DuplexStream> {
        connect(&self.connect, local()).await
    }

    /// A connection of another peer.
    pub(crate) async fn client_of(&self, peer: Peer) -> Client<DuplexStream> {
        connect_as(peer, &self.connect, local()).await
    }

    /// A request whose answer has begun, with a chunk `hello`, and goes on as the test has it.
    pub(crate) async fn stream(&self, ollama: &Ollama) -> (Client<DuplexStream>, Client<TcpStream>) {
        self.stream_of(peer(), ollama).await
    }

    /// The same of another peer.
    pub(crate) async fn stream_of(
        &self,
        peer: Peer,
        ollama: &Ollama,
    ) -> (Client<DuplexStream>, Client<TcpStream>) {
        let mut client = self.client_of(peer).await;
        client.send(post("/v1/chat/completions", "{}")).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        assert_eq!(client.chunk().await.unwrap(), b"hello");
        (client, upstream)
    }

    /// From now on the rules are as `change` makes them.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.send_modify(|rules| change(Arc::make_mut(rules)));
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    /// Waits until there are so many connections.
    pub(crate) async fn has(&self, connections: usize) {
        soon("that many connections", async {
            while self.proxy.live().sessions().len() != connections {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until so many requests wait for their turn.
    pub(crate) async fn waits(&self, requests: u32) {
        soon("that many requests in the queue", async {
            while self.proxy.load().1 != requests {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The tailnet's word has changed.
    /// What has been counted, as the metrics have it.
    pub(crate) fn counted(&self) -> String {
        self.proxy.metrics().text(&Now {
            running: 0,
            waiting: 0,
            connections: 0,
            node: &NodeStatus::default(),
            ollama_up: true,
            started: std::time::SystemTime::UNIX_EPOCH,
            logs: &[],
        })
    }

    pub(crate) fn judge(&self) -> usize {
        self.proxy.port().sweep().judge(&self.word.port_members())
    }

    pub(crate) fn stop(self) -> JoinHandle<std::io::Result<Drained>> {
        let _ = self.stop.send(());
        self.task
    }
}

/// The peer connects to our address `local`, whose listener takes what is sent to `to`.
pub(crate) async fn connect(
    to: &mpsc::Sender<Accepted<DuplexStream>>,
    local: SocketAddr,
) -> Client<DuplexStream> {
    connect_as(peer(), to, local).await
}

/// The same for another peer.
pub(crate) async fn connect_as(
    peer: Peer,
    to: &mpsc::Sender<Accepted<DuplexStream>>,
    local: SocketAddr,
) -> Client<DuplexStream> {
    let (client, near) = tokio::io::duplex(64 << 10);
    let (far, io) = tokio::io::duplex(64 << 10);
    let abort = Arc::new(Notify::new());
    let aborted = Arc::clone(&abort);
    // The network: it can be cut by whoever holds `abort`.
    let gone = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&gone);
    tokio::spawn(async move {
        let ((mut from, mut back), (mut away, mut to)) = (tokio::io::split(near), tokio::io::split(far));
        let forth = async {
            let _ = tokio::io::copy(&mut from, &mut to).await;
            over.store(true, Ordering::SeqCst);
            let _ = to.shutdown().await;
        };
        let back = async {
            let _ = tokio::io::copy(&mut away, &mut back).await;
            let _ = back.shutdown().await;
        };
        tokio::select! {
            _ = async { tokio::join!(forth, back) } => {}
            () = aborted.notified() => {}
        }
    });
    let abort = Box::new(move || abort.notify_one());
    let left: Left = Box::new(move || gone.load(Ordering::SeqCst));
    to.send(Accepted { io, peer, local, left, abort }).await.unwrap();
    Client::new(client)
}

/// Ollama's place taken by the test.
pub(crate) struct Ollama {
    pub(crate) url: String,
    pub(crate) listener: TcpListener,
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
        self.answering_with(move |_| answer.to_owned())
    }

    /// The same, with what `answer` makes of the head.
    pub(crate) fn answering_with(
        self,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> (String, mpsc::UnboundedReceiver<Answer>) {
        let answer = Arc::new(answer);
        let (seen, requests) = mpsc::unbounded_channel();
        let url = self.url.clone();
        tokio::spawn(async move {
            loop {
                let mut conn = Client::new(self.listener.accept().await.unwrap().0);
                let (seen, answer) = (seen.clone(), Arc::clone(&answer));
                tokio::spawn(async move {
                    while let Some(head) = conn.head().await {
                        let Some(body) = conn.body(&head).await else { return };
                        let answer = answer(&head);
                        let _ = seen.send(Answer { head, body });
                        conn.send(answer).await;
                    }
                });
            }
        });
        (url, requests)
    }
}

/// More than is read ahead on behalf of a running request.
pub(crate) fn pipelined() -> String {
    post("/v1/chat/completions", "{}") + &get("/v1/models").repeat(800)
}

/// A part of a body that is larger than anybody reads of it.
pub(crate) fn stuck_upload() -> String {
    let head = "POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 50000000\r\n\r\n";
    head.to_owned() + &"x".repeat(50_000)
}
