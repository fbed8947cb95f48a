//! Who is speaking is never mistaken, however fast connections come, go and break; and nothing of
//! them stays behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::process::Process;
use crate::tailnet::World;

const PEERS: usize = 20;
const CONNECTIONS: u64 = 100_000;
/// At once; each peer has two or three of them.
const AT_ONCE: u64 = 48;

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

/// One connection of the peer called `name`; how many answers it got.
async fn connect(at: SocketAddr, name: &str, n: u64) -> u64 {
    let stream = soon("a connection", TcpStream::connect(at)).await.unwrap();
    let mut client = Client::new(stream);
    // A path that no allowlist has, so that the record tells what was asked and who is said to ask.
    let ask = format!("GET /{name}/{n} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n");
    let answers = match way(n) {
        Way::Asks => 1,
        Way::AsksTwice => 2,
        Way::AsksAndBreaks => {
            client.send(&ask).await;
            0
        }
        Way::BreaksWithinTheHead => {
            client.send(&ask[..20]).await;
            0
        }
        Way::BreaksAtOnce => 0,
    };
    for _ in 0..answers {
        client.send(&ask).await;
        assert_eq!(client.answer().await.status(), 403);
    }
    if answers == 0 {
        rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
    }
    answers
}

/// Runs the connections `numbers`, and returns the number of answers.
async fn churn(peers: &Arc<Vec<(String, SocketAddr)>>, numbers: std::ops::Range<u64>) -> u64 {
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
        answers += worker.await.unwrap();
    }
    answers
}

/// Descriptors and kilobytes of RSS of a process.
fn held(process: &Process) -> (usize, u64) {
    let pid = process.id().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let out = std::process::Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let descriptors = run("lsof", &["-nP", "-a", "-p", &pid, "-d", "0-999999", "-F", "f"]);
    let descriptors = descriptors.lines().filter(|l| l.starts_with('f')).count();
    (descriptors, run("ps", &["-o", "rss=", "-p", &pid]).trim().parse().unwrap())
}

/// Waits until no connection is left, and returns what is held then.
async fn settled(process: &Process, at_most: usize) -> (usize, u64) {
    soon("the descriptors of all connections to be closed", async {
        loop {
            let held = held(process);
            if held.0 <= at_most {
                return held;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_connections_are_attributed_right_and_leave_nothing() {
    let mut world = World::new(ollama::url(), "").await;
    let mut peers = Vec::new();
    for i in 0..PEERS {
        let name = format!("peer-{i:02}");
        world.tailnet.client(&name, &["tag:ai-client"]).await;
        let at = world.tailnet.forward(&name, "remote-ollama-proxy:11434").await;
        peers.push((name, at));
    }
    let peers = Arc::new(peers);
    let process = &world.proxy.process;
    let (quiet, _) = held(process);

    let begun = Instant::now();
    let mut answers = churn(&peers, 0..CONNECTIONS / 5).await;
    let (_, warm) = settled(process, quiet).await;
    answers += churn(&peers, CONNECTIONS / 5..CONNECTIONS).await;
    let (descriptors, end) = settled(process, quiet).await;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{CONNECTIONS} connections in {seconds:.0} s, {answers} answers; descriptors {quiet} before, {descriptors} after; \
         RSS {warm} KB after a fifth, {end} KB at the end"
    );
    assert!(end < warm + 16_000, "memory has grown: {warm} KB after a fifth, {end} KB at the end");

    world.proxy.process.signal(rustix::process::Signal::TERM);
    world.proxy.process.ended_with(0).await;
    let mut by_peer: BTreeMap<String, u64> = BTreeMap::new();
    for line in world.proxy.process.output().lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        if record["target"] != "access" {
            continue;
        }
        let Some(path) = record["path"].as_str() else { continue };
        let (node, asked) = (record["node"].as_str().unwrap(), path.split('/').nth(1).unwrap());
        assert_eq!(node, format!("{asked}.tailnet.test"), "{line}");
        *by_peer.entry(asked.to_owned()).or_default() += 1;
    }
    let recorded: u64 = by_peer.values().sum();
    assert!(
        by_peer.len() == PEERS && recorded >= answers,
        "{recorded} records of {answers} answers: {by_peer:?}"
    );
    println!("{recorded} requests recorded, each with the peer that asked");
}
