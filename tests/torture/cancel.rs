//! A client's disconnect ends its request, wherever the request is and however the client disconnects: the connection
//! to Ollama closes, or the waiting slot becomes free.

use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::figures::{self, Meant, figure, percentile};
use crate::http::*;
use crate::standin::Standin;
use crate::swarm::{chat, connect};
use crate::tailnet::World;

const PART: &str = "Clients that go away";
/// Clients of each kind at the same time; a thousand in all.
const AT_ONCE: u64 = 25;
/// The number of running and of waiting slots. One identity has a quarter of the waiting slots.
const CONFIG: &str = "limits.running = 25\nlimits.running_per_identity = 25\nlimits.waiting = 100\n";

/// The state of the request when the client disconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Queue,
    Upload,
    /// Ollama does not read the body, so the client's bytes wait in every buffer.
    StuckUpload,
    BeforeTheHead,
    Stream,
}

/// How many bytes of further requests wait behind it. The proxy reads at most 16 KiB of them.
const BEHIND: [usize; 2] = [400, 60_000];

const BEHIND_EACH: &str = "GET /v1/models?n=0 HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Fin,
    Reset,
    HalfClose,
    /// The client's device loses the connection, so the tailnet sends the reset.
    Tailnet,
}

const WAYS: [Way; 4] = [Way::Fin, Way::Reset, Way::HalfClose, Way::Tailnet];

/// Every state, with the bytes that may wait behind it.
fn places() -> Vec<(At, usize)> {
    let mut all = vec![(At::Upload, 0), (At::StuckUpload, 0), (At::Queue, 0), (At::Queue, BEHIND[1])];
    for at in [At::BeforeTheHead, At::Stream] {
        all.push((at, 0));
        all.extend(BEHIND.map(|behind| (at, behind)));
    }
    all
}

fn request(n: u64, at: At, behind: usize) -> String {
    let upload = |what: &str, sent: usize| {
        format!(
            "POST /v1/chat/completions?n={n}&do={what} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\
             Content-Length: 50000000\r\n\r\n{}",
            "x".repeat(sent)
        )
    };
    let first = match at {
        At::Queue | At::BeforeTheHead => chat(n, "do=silent"),
        At::Upload => upload("silent", 50_000),
        At::StuckUpload => upload("stuck", 100_000),
        At::Stream => chat(n, "do=stream"),
    };
    first + &BEHIND_EACH.repeat(behind.div_ceil(BEHIND_EACH.len()))
}

/// In the record of each request whose client disconnected.
const LEFT: &str = "\"ended\":\"client-left\"";

struct Scene {
    world: World,
    ollama: Standin,
    /// How many lines of the log have been read.
    read: usize,
    next: u64,
}

impl Scene {
    /// Connections over their own forward, each with its request's number, that have reached their state.
    async fn clients(&mut self, at: At, behind: usize) -> (SocketAddr, Vec<(u64, Client<TcpStream>)>) {
        let forward = self.world.tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
        let mut clients = Vec::new();
        for _ in 0..AT_ONCE {
            self.next += 1;
            let mut client = connect(forward).await;
            client.send(request(self.next, at, behind)).await;
            clients.push((self.next, client));
        }
        for (n, client) in &mut clients {
            match at {
                At::Queue => {}
                At::Stream => assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200")),
                _ => self.ollama.has(*n).await,
            }
        }
        self.arrived(forward).await;
        (forward, clients)
    }

    /// Waits until everything sent over a forward has arrived, so that only the disconnect is measured: later requests
    /// are answered.
    async fn arrived(&self, forward: SocketAddr) {
        for _ in 0..3 {
            let mut client = connect(forward).await;
            client.send(get("/api/version?n=0")).await;
            assert_eq!(client.answer().await.status(), 200);
        }
    }

    /// Disconnects the clients; returns when, for each, and the half-closed connections.
    async fn go(
        &self,
        way: Way,
        forward: SocketAddr,
        clients: Vec<(u64, Client<TcpStream>)>,
    ) -> (Vec<(u64, Instant)>, Vec<Client<TcpStream>>) {
        let (mut went, mut stay) = (Vec::new(), Vec::new());
        for (n, mut client) in clients {
            went.push((n, Instant::now()));
            match way {
                Way::Fin => drop(client),
                Way::Reset => {
                    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
                }
                Way::HalfClose => {
                    client.stream.shutdown().await.unwrap();
                    stay.push(client);
                }
                Way::Tailnet => stay.push(client),
            }
        }
        if way == Way::Tailnet {
            let now = Instant::now();
            went.iter_mut().for_each(|(_, at)| *at = now);
            let path = format!("/clients/laptop/forwards/{forward}");
            self.world.tailnet.api("DELETE", &path, Value::Null).await;
        }
        (went, stay)
    }

    /// Waits for `more` further records of disconnected clients, running or waiting.
    async fn recorded(&mut self, more: usize) {
        for _ in 0..more {
            self.world.proxy.process.next_line(&mut self.read, &[LEFT]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_disconnects_are_all_noticed() {
    let _alone = figures::alone().await;
    let ollama = Standin::new().await;
    let world = World::new(&ollama.url, CONFIG).await;
    let mut scene = Scene { world, ollama, read: 0, next: 0 };
    let (mut times, mut queued) = (Vec::new(), Vec::new());
    for (at, behind) in places() {
        for way in WAYS {
            let each = if at == At::Queue {
                leave_the_queue(&mut scene, way, behind).await
            } else {
                let (forward, clients) = scene.clients(at, behind).await;
                let (went, stay) = scene.go(way, forward, clients).await;
                let mut each = Vec::new();
                for (n, went) in went {
                    each.push(scene.ollama.lost(n).await.saturating_duration_since(went));
                }
                scene.recorded(AT_ONCE as usize).await;
                drop(stay);
                each
            };
            let mut sorted = each.clone();
            println!("{at:?}, {behind} bytes behind, {way:?}: p50 {:.1} ms", percentile(&mut sorted, 0.5));
            if at == At::Queue { queued.extend(each) } else { times.extend(each) }
        }
    }
    assert_eq!(scene.ollama.counts().1, 0, "something still runs");
    // One record per client, whatever waited behind its request.
    let log = scene.world.proxy.process.output();
    let records = log.lines().filter(|line| line.contains(LEFT)).count();
    let expected = times.len() + 2 * queued.len(); // as many ran as waited
    assert_eq!(records, expected, "records of clients that left");
    let count = (times.len() + queued.len()) as f64;
    figure(PART, "noticed, of 1,000 in every place and way", count, "", Meant::AtLeast(1000.0));
    for (what, times) in [("connection to Ollama closed", times), ("place in the queue given up", queued)] {
        let mut times = times;
        figure(PART, &format!("{what} after, p50"), percentile(&mut times, 0.5), "ms", Meant::Told);
        figure(PART, &format!("{what} after, p99"), percentile(&mut times, 0.99), "ms", Meant::AtMost(50.0));
        figure(PART, &format!("{what} after, max"), percentile(&mut times, 1.0), "ms", Meant::Told);
    }
}

/// The same for clients whose requests wait: others run, and Ollama never receives the waiting ones.
async fn leave_the_queue(scene: &mut Scene, way: Way, behind: usize) -> Vec<Duration> {
    let version = get("/api/version?n=0");
    assert_eq!(scene.world.ask(&version).await.status(), 200);
    let (first, running) = scene.clients(At::BeforeTheHead, 0).await;
    let begun = scene.ollama.counts().0;
    let (forward, mut waiting) = scene.clients(At::Queue, behind).await;
    // With one client too many, its refusal shows that the others wait.
    scene.next += 1;
    let mut one_more = connect(forward).await;
    one_more.send(request(scene.next, At::Queue, behind)).await;
    waiting.push((scene.next, one_more));
    let refused = std::future::poll_fn(|cx| {
        let answered = waiting.iter().position(|(_, client)| client.stream.poll_read_ready(cx).is_ready());
        answered.map_or(Poll::Pending, Poll::Ready)
    });
    let (_, mut refused) = waiting.remove(soon("a refusal", refused).await);
    assert_eq!(refused.answer().await.status(), 503);
    // The next request on the same connection takes a slot, and is not mistaken for one that disconnected.
    for _ in 0..behind.div_ceil(BEHIND_EACH.len()) {
        assert_eq!(refused.answer().await.status(), 200);
    }
    scene.arrived(forward).await;

    let (mut each, mut stays) = (Vec::new(), Vec::new());
    if way == Way::Tailnet {
        let (went, stay) = scene.go(way, forward, waiting).await;
        for (_, went) in went {
            scene.recorded(1).await;
            each.push(went.elapsed());
        }
        stays.extend(stay);
    } else {
        // One after the other: their records do not tell them apart.
        for one in waiting {
            let (went, stay) = scene.go(way, forward, vec![one]).await;
            scene.recorded(1).await;
            each.push(went[0].1.elapsed());
            stays.extend(stay);
        }
    }
    // Slots become free now, and no client is left to take them.
    let (went, stay) = scene.go(Way::Reset, first, running).await;
    for (n, _) in went {
        scene.ollama.lost(n).await;
    }
    scene.recorded(AT_ONCE as usize).await;
    assert_eq!(scene.world.ask(&version).await.status(), 200);
    assert_eq!(scene.ollama.counts().0, begun, "a request ran whose client had left the queue");
    drop((stay, stays));
    each
}
