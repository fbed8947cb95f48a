//! Many clients on several peers, and a well-behaved one among them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::{Client, get, soon};
use crate::tailnet::World;

/// Peers, each with an address that leads to the proxy.
pub(crate) struct Swarm(pub(crate) Vec<(String, SocketAddr)>);

impl Swarm {
    pub(crate) async fn new(world: &World, peers: usize) -> Swarm {
        let mut all = Vec::new();
        for i in 0..peers {
            let name = format!("peer-{i:02}");
            world.tailnet.client(&name, &["tag:ai-client"]).await;
            let at = world.tailnet.forward(&name, "remote-ollama-proxy:11434").await;
            all.push((name, at));
        }
        Swarm(all)
    }

    /// Shrinks the receive buffers of the peers' nodes: with the usual size, a thousand clients need more memory than
    /// a test machine has.
    pub(crate) async fn take_little(&self, world: &World) {
        for (name, _) in &self.0 {
            let path = format!("/clients/{name}/receive-buffer");
            world.tailnet.api("POST", &path, json!({"bytes": 64 << 10})).await;
        }
    }

    /// The address of the next peer in turn.
    pub(crate) fn at(&self, n: u64) -> SocketAddr {
        self.0[n as usize % self.0.len()].1
    }
}

pub(crate) async fn connect(at: SocketAddr) -> Client<TcpStream> {
    Client::new(soon("a connection", TcpStream::connect(at)).await.unwrap())
}

/// A connection with a small receive buffer.
pub(crate) async fn connect_small(at: SocketAddr) -> Client<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    Client::new(soon("a connection", socket.connect(at)).await.unwrap())
}

/// A chat request that tells the stand-in what to do.
pub(crate) fn chat(n: u64, what: &str) -> String {
    crate::http::post(&format!("/v1/chat/completions?n={n}&{what}"), "{}")
}

/// The outcomes of a well-behaved client's requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Good {
    pub(crate) served: usize,
    pub(crate) lost: usize,
}

impl Good {
    /// The share of served requests, in percent.
    pub(crate) fn part(self) -> f64 {
        100.0 * self.served as f64 / (self.served + self.lost) as f64
    }
}

/// A well-behaved client that requests the version at a steady pace, each time on a new connection.
pub(crate) struct Steady {
    stop: oneshot::Sender<()>,
    task: JoinHandle<(Good, Vec<Duration>)>,
}

impl Steady {
    pub(crate) fn start(at: SocketAddr, every: Duration) -> Steady {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut good, mut times) = (Good::default(), Vec::new());
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while stopped.try_recv().is_err() {
                ticks.tick().await;
                let begun = Instant::now();
                if ask(at).await {
                    good.served += 1;
                    times.push(begun.elapsed());
                } else {
                    good.lost += 1;
                }
            }
            (good, times)
        });
        Steady { stop, task }
    }

    pub(crate) async fn stop(self) -> (Good, Vec<Duration>) {
        let _ = self.stop.send(());
        soon("the last request", self.task).await.unwrap()
    }
}

/// Whether a request gets a whole answer.
async fn ask(at: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(at).await else { return false };
    let mut client = Client::new(stream);
    // No test asks for this number.
    let request = get("/api/version?n=999999999");
    if tokio::io::AsyncWriteExt::write_all(&mut client.stream, request.as_bytes()).await.is_err() {
        return false;
    }
    let Some(head) = client.head().await else { return false };
    head.starts_with("HTTP/1.1 200") && client.body(&head).await.is_some()
}
