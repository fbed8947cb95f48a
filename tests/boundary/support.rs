//! A proxy over in-memory streams, a client that speaks raw bytes to it, and a stand-in for Ollama
//! that shows what arrives and lets the test write the answer.

use std::sync::Arc;
use std::time::Duration;

use remote_ollama_proxy::listen::Listen;
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::{EndpointSet, Hosts, Policy};
use remote_ollama_proxy::proxy::{Drained, Proxy};
use remote_ollama_proxy::upstream::Upstream;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use crate::http::*;

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
