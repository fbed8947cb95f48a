//! Ordinary work for a long time: no errors and no growth. It lasts two minutes, and an hour with `make soak`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::figures::{self, Meant, figure};
use crate::held::{held_before_requests, rss, settled};
use crate::http::*;
use crate::standin::Standin;
use crate::swarm::{Swarm, chat, connect};
use crate::tailnet::World;

const PEERS: usize = 4;
const WORKERS: u64 = 8;
/// The pause of a worker between two actions.
const PAUSE: Duration = Duration::from_millis(50);
const CONFIG: &str = "limits.running = 16\nlimits.running_per_identity = 16\n";

/// The number of the next request.
static NEXT: AtomicU64 = AtomicU64::new(0);

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One action of a client, on its own connection.
async fn work(at: SocketAddr, kind: u64) {
    let mut client = connect(at).await;
    match kind % 8 {
        0..3 => {
            client.send(chat(next(), "do=stream&ms=10&count=20")).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.body.len()), (200, 20 * b"data: word\n\n".len()));
        }
        3 => {
            client.send(chat(next(), "do=stream&ms=10")).await;
            client.head().await.unwrap();
            client.chunk().await.unwrap(); // and disconnects
        }
        4 => {
            client.send(post("/api/pull", "{}")).await;
            assert_eq!(client.answer().await.status(), 403);
            client.send(get("/nothing")).await;
            assert_eq!(client.answer().await.status(), 403);
        }
        5 => {
            client.send(post(&format!("/api/show?n={}", next()), &"x".repeat(1 << 20))).await;
            assert_eq!(client.answer().await.status(), 200);
        }
        _ => {
            for _ in 0..5 {
                client.send(get(&format!("/api/version?n={}", next()))).await;
                assert_eq!(client.answer().await.status(), 200);
            }
        }
    }
}

/// The slope of the line of best fit, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let both: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    both / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_leaves_no_growth_and_no_errors() {
    let _alone = figures::alone().await;
    let minutes: f64 = std::env::var("SOAK_MINUTES").map_or(2.0, |m| m.parse().expect("a number of minutes"));
    let part = format!("Ordinary work for {minutes} min");
    let ollama = Standin::new().await;
    let world = World::new(&ollama.url, CONFIG).await;
    let swarm = Arc::new(Swarm::new(&world, PEERS).await);
    let process = &world.proxy.process;
    let quiet = held_before_requests(process);

    let (begun, end) = (Instant::now(), Duration::from_secs_f64(60.0 * minutes));
    let (done, errors) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let (swarm, done, errors) = (Arc::clone(&swarm), Arc::clone(&done), Arc::clone(&errors));
        workers.spawn(async move {
            let mut kind = worker;
            while begun.elapsed() < end {
                // In its own task, so that a panic is counted.
                if tokio::spawn(work(swarm.at(worker), kind)).await.is_err() {
                    errors.fetch_add(1, Ordering::Relaxed);
                }
                done.fetch_add(1, Ordering::Relaxed);
                kind += 1;
                delay(PAUSE).await;
            }
        });
    }
    // Megabytes, and hours since the start.
    let (mut points, warm) = (Vec::new(), end / 4);
    while begun.elapsed() < end {
        delay(Duration::from_secs(1)).await;
        if begun.elapsed() > warm {
            points.push((begun.elapsed().as_secs_f64() / 3600.0, rss(process)));
        }
    }
    while workers.join_next().await.is_some() {}
    let after = settled(process, quiet.descriptors).await;
    ollama.runs(0).await;

    let (done, errors) = (done.load(Ordering::Relaxed), errors.load(Ordering::Relaxed));
    let growth = slope(&points);
    // A short run shows the cycles of Go's heap.
    let meant = if minutes < 30.0 { Meant::Told } else { Meant::AtMost(8.0) };
    figure(&part, "connections, each with one to five requests", done as f64, "", Meant::Told);
    figure(&part, "errors", errors as f64, "", Meant::AtMost(0.0));
    figure(&part, "memory before", quiet.rss, "MB", Meant::Told);
    figure(&part, "memory at the end", after.rss, "MB", Meant::AtMost(256.0));
    figure(&part, "growth of memory, after a quarter of the time", growth, "MB/h", meant);
    figure(&part, "descriptors before", quiet.descriptors as f64, "", Meant::Told);
    figure(&part, "descriptors at the end", after.descriptors as f64, "", Meant::Told);
    figure(&part, "threads before", quiet.threads as f64, "", Meant::Told);
    figure(&part, "threads at the end", after.threads as f64, "", Meant::AtMost(quiet.threads as f64 + 8.0));
    assert_eq!(errors, 0, "of {done} things that clients did, so many went wrong");
    assert!(after.threads <= quiet.threads + 8, "{quiet:?} {after:?}");
}
