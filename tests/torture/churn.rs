//! Connections are attributed to the right peer, however fast they open, close and break, and nothing of them remains.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinError;

use crate::figures::{self, Meant, figure};
use crate::held::{held_before_requests, returned, settled};
use crate::http::*;
use crate::standin::Standin;
use crate::swarm::Swarm;
use crate::tailnet::World;

const PART: &str = "Connections that come and go";
const PEERS: usize = 20;
const CONNECTIONS: u64 = 100_000;
/// More memory than before the first connection, in megabytes, that may remain after the last one: caches, but not 200 bytes
/// for each connection.
const MEMORY_MAX: f64 = 16.0;
/// Connections at a time, two or three per peer.
const AT_ONCE: u64 = 48;

/// A client that breaks a connection does not wait until the proxy notices.
const CONFIG: &str = "limits.connections = 10000\nlimits.connections_per_peer = 10000\n";

/// What a connection does, by its number.
enum Way {
    Asks,
    AsksTwice,
    AsksAndBreaks,
    BreaksWithinTheHead,
    BreaksAtOnce,
}

fn way(n: u64) -> Way {
    // Scattered over the numbers, and the same in every run.
    match n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60 {
        0..7 => Way::Asks,
        7..10 => Way::AsksTwice,
        10..12 => Way::AsksAndBreaks,
        12..14 => Way::BreaksWithinTheHead,
        _ => Way::BreaksAtOnce,
    }
}

/// One connection of the peer called `name`; returns the number of its answers. A refused one is retried: by chance,
/// some connections get a port whose last connection is not yet forgotten.
async fn connect(at: SocketAddr, name: &str, n: u64) -> u64 {
    for _ in 0..3 {
        if let Some(answers) = attempt(at, name, n).await {
            return answers;
        }
    }
    panic!("{name} was refused three times");
}

/// `None` if it was refused.
async fn attempt(at: SocketAddr, name: &str, n: u64) -> Option<u64> {
    let stream = soon("a connection", TcpStream::connect(at)).await.unwrap();
    let mut client = Client::new(stream);
    // A path that is on no allowlist, so that the record has the path and the peer.
    let ask = format!("GET /{name}/{n} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n");
    let answers = match way(n) {
        Way::Asks => 1,
        Way::AsksTwice => 2,
        Way::AsksAndBreaks => {
            let _ = client.stream.write_all(ask.as_bytes()).await;
            0
        }
        Way::BreaksWithinTheHead => {
            let _ = client.stream.write_all(&ask.as_bytes()[..20]).await;
            0
        }
        Way::BreaksAtOnce => 0,
    };
    for i in 0..answers {
        let sent = soon("sending", client.stream.write_all(ask.as_bytes())).await;
        let head = if sent.is_ok() { client.head().await } else { None };
        let Some(head) = head else {
            assert_eq!(i, 0, "{name}'s connection ended without its second answer");
            return None;
        };
        let body = client.body(&head).await.expect("the connection ended within an answer");
        assert_eq!(Answer { head, body }.status(), 403);
    }
    if answers == 0 {
        rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
    }
    Some(answers)
}

/// Runs the connections `numbers`; returns the number of answers.
async fn churn(peers: &Arc<Vec<(String, SocketAddr)>>, numbers: Range<u64>) -> Result<u64, JoinError> {
    let (next, end) = (Arc::new(AtomicU64::new(numbers.start)), numbers.end);
    let workers = (0..AT_ONCE).map(|_| {
        let (peers, next) = (Arc::clone(peers), Arc::clone(&next));
        tokio::spawn(async move {
            let mut answers = 0;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= end {
                    return answers;
                }
                let (name, at) = &peers[(n % PEERS as u64) as usize];
                answers += connect(*at, name, n).await;
            }
        })
    });
    let mut answers = 0;
    for worker in workers.collect::<Vec<_>>() {
        answers += worker.await?;
    }
    Ok(answers)
}

/// Fails with the other log lines of both sides.
fn fail(world: &World, why: JoinError) -> u64 {
    let (proxy, tailnet) = (world.proxy.process.output(), world.tailnet.process.output());
    let others = proxy.lines().filter(|line| !line.contains("\"path\"") && !line.contains("malformed"));
    panic!("{why}; the proxy said {:#?}, the tailnet {tailnet}", others.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_thousand_connections_are_attributed_right_and_leave_nothing() {
    let _alone = figures::alone().await;
    let ollama = Standin::new().await; // no request reaches it
    let mut world = World::new(&ollama.url, CONFIG).await;
    let peers = Arc::new(Swarm::new(&world, PEERS).await.0);
    let process = &world.proxy.process;
    let quiet = held_before_requests(process);

    let begun = Instant::now();
    let mut answers = churn(&peers, 0..CONNECTIONS / 5).await.unwrap_or_else(|e| fail(&world, e));
    let warm = settled(process, quiet.descriptors).await;
    answers += churn(&peers, CONNECTIONS / 5..CONNECTIONS).await.unwrap_or_else(|e| fail(&world, e));
    settled(process, quiet.descriptors).await;
    let pace = CONNECTIONS as f64 / begun.elapsed().as_secs_f64();
    let end = returned(process, quiet.rss + MEMORY_MAX).await;
    assert!(end.threads <= warm.threads + 4, "threads were left: {warm:?} after a fifth, {end:?} at the end");

    world.proxy.process.signal(rustix::process::Signal::TERM);
    world.proxy.process.ended_with(0).await;
    let mut wrong = 0;
    let mut by_peer: BTreeMap<String, u64> = BTreeMap::new();
    for line in world.proxy.process.output().lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        if record["target"] != "access" {
            continue;
        }
        let Some(path) = record["path"].as_str() else { continue };
        let (node, asked) = (record["node"].as_str().unwrap(), path.split('/').nth(1).unwrap());
        if node != format!("{asked}.tailnet.test") {
            println!("attributed wrongly: {line}");
            wrong += 1;
        }
        *by_peer.entry(asked.to_owned()).or_default() += 1;
    }
    assert_eq!(wrong, 0, "requests were attributed to a peer that did not ask them");
    let recorded: u64 = by_peer.values().sum();
    assert!(
        by_peer.len() == PEERS && recorded >= answers,
        "{recorded} records of {answers} answers: {by_peer:?}"
    );
    figure(PART, "connections", CONNECTIONS as f64, "", Meant::AtLeast(100_000.0));
    figure(PART, "per second", pace, "", Meant::Told);
    figure(PART, "answers", answers as f64, "", Meant::Told);
    figure(PART, "requests in the log", recorded as f64, "", Meant::AtLeast(answers as f64));
    figure(PART, "of them with another peer than the one that asked", wrong as f64, "", Meant::AtMost(0.0));
    let left = end.descriptors as f64 - quiet.descriptors as f64;
    figure(PART, "descriptors left behind", left, "", Meant::AtMost(0.0));
    let threads = end.threads as f64 - warm.threads as f64;
    figure(PART, "more threads at the end than after a fifth", threads, "", Meant::AtMost(4.0));
    figure(PART, "more memory than before them", end.rss - quiet.rss, "MB", Meant::AtMost(MEMORY_MAX));
}
