//! A proxy over in-memory streams, a client that sends raw bytes to it, and a stand-in for Ollama whose answers the
//! test writes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use remote_ollama_proxy::admission::{Limits, Timeouts};
use remote_ollama_proxy::audit::{AuditSink, Now, Observer};
use remote_ollama_proxy::listen::{Accepted, Listen};
use remote_ollama_proxy::ollama::Upstream;
use remote_ollama_proxy::page::RecentActivity;
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::{AccessMode, EndpointSet, Hosts, ModelRules, Policy};
use remote_ollama_proxy::proxy::{Drained, Proxy, Rules};
use remote_ollama_proxy::sink::{Output, Sink, SinkOptions, in_json};
use remote_ollama_proxy::tailnet::{Address, Authorizer, Member, NodeStatus, PortMembers, Verdict};
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) mod diagnostics;
mod memory;
mod ollama;

pub(crate) use memory::*;
pub(crate) use ollama::*;

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

/// The verdict about the peer, which the test sets.
struct PeerAccess {
    verdict: Mutex<Verdict>,
    /// A port at which no peer may connect.
    closed: Mutex<Option<u16>>,
}

impl Default for PeerAccess {
    fn default() -> Self {
        PeerAccess { verdict: Mutex::new(Verdict::Admit { grants: Vec::new() }), closed: Mutex::new(None) }
    }
}

impl Authorizer for PeerAccess {
    fn verdict(&self, _: &Peer, local: SocketAddr) -> Verdict {
        match *self.closed.lock().unwrap() {
            Some(port) if port == local.port() => Verdict::Refuse,
            _ => self.verdict.lock().unwrap().clone(),
        }
    }
}

impl PeerAccess {
    fn set(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = verdict;
    }

    fn members(&self) -> Vec<Member> {
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

/// A sink with a name of its own.
pub(crate) fn sink(name: &'static str, output: impl Output) -> Arc<Sink> {
    let (to, report) = (format!("/var/{name}"), Box::new(|_: &_| {}));
    Arc::new(Sink::start(SinkOptions { name, to, notice: in_json, report }, output).unwrap())
}

/// Builds a proxy: with the default policy, access by the network and no limits, unless the test sets something else.
pub(crate) struct Boundary {
    rules: Rules,
    drain: Duration,
    grants: Vec<Value>,
}

impl Boundary {
    pub(crate) fn new(upstream: &str) -> Boundary {
        diagnostics::ask_every_subscriber();
        let rules = Rules {
            policy: policy(),
            access: AccessMode::Network,
            limits: Limits::NONE,
            timeouts: Timeouts::default(),
            usage: false,
            upstream: Arc::new(Upstream::parse(upstream).unwrap()),
        };
        Boundary { rules, drain: PATIENCE, grants: Vec::new() }
    }

    pub(crate) fn policy(mut self, policy: Policy) -> Boundary {
        self.rules.policy = policy;
        self
    }

    pub(crate) fn access(mut self, access: AccessMode) -> Boundary {
        self.rules.access = access;
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Boundary {
        self.rules.limits = limits;
        self
    }

    pub(crate) fn timeouts(mut self, timeouts: Timeouts) -> Boundary {
        self.rules.timeouts = timeouts;
        self
    }

    pub(crate) fn usage(mut self, usage: bool) -> Boundary {
        self.rules.usage = usage;
        self
    }

    /// How long running requests may finish after `Running::stop`.
    pub(crate) fn drain(mut self, drain: Duration) -> Boundary {
        self.drain = drain;
        self
    }

    /// The peer's grants from the start.
    pub(crate) fn grants(mut self, grants: Vec<Value>) -> Boundary {
        self.grants = grants;
        self
    }

    pub(crate) fn start(self) -> Running {
        self.start_on(|http| http)
    }

    /// Starts on listeners that `ports` makes from the one for HTTP.
    pub(crate) fn start_on<L: Listen + 'static>(self, ports: impl FnOnce(Memory) -> L) -> Running {
        let (rules, current) = watch::channel(Arc::new(self.rules));
        let access = Arc::new(PeerAccess::default());
        let tailnet: Arc<dyn Authorizer> = Arc::clone(&access) as _;
        let recent = Arc::new(RecentActivity::new(SystemTime::now()));
        let audit = AuditSink::new(None, None, Some(Arc::clone(&recent) as Arc<dyn Observer>));
        let proxy = Proxy::new(current, tailnet, Arc::new(audit));
        let (connect, incoming) = mpsc::channel(64);
        let (stop, stopped) = oneshot::channel();
        let (serving, listener, drain) = (proxy.clone(), ports(Memory(incoming)), self.drain);
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serving.serve(listener, stopped, delay(drain)).await
        });
        let running = Running { connect, proxy, recent, access, stop, task, rules };
        running.grant(self.grants);
        running
    }
}

/// A running proxy.
pub(crate) struct Running {
    connect: mpsc::Sender<Accepted<DuplexStream>>,
    pub(crate) proxy: Proxy,
    pub(crate) recent: Arc<RecentActivity>,
    access: Arc<PeerAccess>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<Drained>>,
    pub(crate) rules: watch::Sender<Arc<Rules>>,
}

impl Running {
    /// From now on the peer may connect, with these grants.
    pub(crate) fn grant(&self, grants: Vec<Value>) {
        self.access.set(Verdict::Admit { grants });
    }

    /// From now on no peer may connect to this port.
    pub(crate) fn close(&self, port: u16) {
        *self.access.closed.lock().unwrap() = Some(port);
    }

    /// From now on the peer may not connect.
    pub(crate) fn revoke(&self) {
        self.access.set(Verdict::Refuse);
    }

    /// The peers of a port, as the netmap lists them.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.access.members()
    }

    /// The peers of the Ollama port and of the metrics port.
    pub(crate) fn port_members(&self) -> [PortMembers; 2] {
        let members = Arc::new(self.members());
        [local().port(), 9090].map(|port| PortMembers { port, members: Arc::clone(&members) })
    }

    pub(crate) async fn client(&self) -> Client<DuplexStream> {
        connect(&self.connect, local()).await
    }

    /// A connection of another peer.
    pub(crate) async fn client_of(&self, peer: Peer) -> Client<DuplexStream> {
        connect_as(peer, &self.connect, local()).await
    }

    /// A request whose answer has begun with a chunk `hello`; the test continues it.
    pub(crate) async fn stream(&self, ollama: &Ollama) -> (Client<DuplexStream>, Client<TcpStream>) {
        self.stream_of(peer(), ollama).await
    }

    /// The same for another peer.
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

    /// Changes the rules for the requests from now on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.send_modify(|rules| change(Arc::make_mut(rules)));
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    /// Waits until this many connections are open.
    pub(crate) async fn has(&self, connections: usize) {
        let held = async || self.proxy.sessions().all().len() == connections;
        eventually("that many connections", held).await;
    }

    /// Waits until this many requests wait for a slot.
    pub(crate) async fn waits(&self, requests: u32) {
        eventually("that many requests in the queue", async || self.proxy.load().waiting == requests).await;
    }

    /// The metrics as text.
    pub(crate) fn counted(&self) -> String {
        self.proxy.audit().metrics().text(&Now {
            running: 0,
            waiting: 0,
            connections: 0,
            node: &NodeStatus::default(),
            ollama_up: true,
            started: std::time::SystemTime::UNIX_EPOCH,
            logs: &[],
        })
    }

    /// Re-checks all sessions; returns how many were cut.
    pub(crate) fn sweep(&self) -> usize {
        self.proxy.port().sweep().judge(&self.port_members())
    }

    pub(crate) fn stop(self) -> JoinHandle<std::io::Result<Drained>> {
        let _ = self.stop.send(());
        self.task
    }
}

/// More than the proxy reads ahead during a running request.
pub(crate) fn pipelined() -> String {
    post("/v1/chat/completions", "{}") + &get("/v1/models").repeat(800)
}

/// A part of a body that is larger than the proxy reads.
pub(crate) fn stuck_upload() -> String {
    let head = "POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 50000000\r\n\r\n";
    head.to_owned() + &"x".repeat(50_000)
}
