//! A thousand clients that request a long stream and never read it: their cost, and that all of it is returned.

use std::time::{Duration, Instant};

use crate::figures::{self, Meant, figure, percentile};
use crate::held::{Held, allow_descriptors, held, held_before_requests, returned, settled};
use crate::http::*;
use crate::standin::Standin;
use crate::swarm::{Steady, Swarm, chat, connect, connect_small};
use crate::tailnet::World;

const READERS: u64 = 1000;
/// Each may have 256 connections.
const PEERS: usize = 8;

/// Starts them. Their unread answers stay in the proxy.
async fn ask(swarm: &Swarm, world: &World) -> Vec<Client<tokio::net::TcpStream>> {
    swarm.take_little(world).await;
    let mut readers = Vec::new();
    for n in 0..READERS {
        let mut reader = connect_small(swarm.at(n)).await;
        reader.send(chat(n, "do=flood")).await;
        readers.push(reader);
    }
    readers
}

/// Waits until nothing has been read from Ollama for two seconds.
async fn stalled(ollama: &Standin) {
    let (mut written, mut since) = (ollama.written(), Instant::now());
    found_within(Duration::from_secs(180), "backpressure to reach Ollama", async || {
        let now = ollama.written();
        if now != written {
            (written, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(2)).then_some(())
    })
    .await;
}

/// Waits until their descriptors are closed and their memory is returned.
async fn given_back(world: &World, quiet: Held, full: Held) -> Held {
    let process = &world.proxy.process;
    settled(process, quiet.descriptors).await;
    returned(process, quiet.rss + f64::max((full.rss - quiet.rss) / 4.0, 64.0)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_stalled_readers_cost_little_and_leave_nothing() {
    const PART: &str = "1,000 clients that never read, all running";
    const CONFIG: &str =
        "limits.connections = 2048\nlimits.running = 2000\nlimits.running_per_identity = 2000\n";
    let _alone = figures::alone().await;
    allow_descriptors();
    let ollama = Standin::new().await;
    let world = World::new(&ollama.url, CONFIG).await;
    let swarm = Swarm::new(&world, PEERS).await;
    let process = &world.proxy.process;
    let quiet = held_before_requests(process);

    let readers = ask(&swarm, &world).await;
    ollama.runs(READERS as usize).await;
    stalled(&ollama).await;
    let full = held(process);
    let taken = ollama.written();
    let steady = Steady::start(world.at, Duration::from_millis(20));
    delay(Duration::from_secs(10)).await; // measures whether memory grows
    let (good, mut times) = steady.stop().await;
    let later = held(process);
    assert!(good.lost == 0 && good.served > 0, "{good:?}");
    assert_eq!(ollama.counts().1, READERS as usize, "an unread stream was ended");
    let more = ollama.written() - taken;
    assert!(more < taken / 100, "{more} more bytes were taken from Ollama for clients that do not read");

    drop(readers);
    let after = given_back(&world, quiet, full).await;
    ollama.runs(0).await;
    assert!(after.threads <= quiet.threads + 8, "{quiet:?} {after:?}");

    let each = (full.rss - quiet.rss) * 1024.0 / READERS as f64;
    figure(PART, "memory of the proxy for each", each, "KB", Meant::AtMost(768.0));
    figure(PART, "memory of the proxy in all", full.rss, "MB", Meant::AtMost(800.0));
    figure(PART, "more memory 10 s later", later.rss - full.rss, "MB", Meant::AtMost(16.0));
    figure(PART, "a good client's requests served meanwhile", good.part(), "%", Meant::AtLeast(99.9));
    figure(PART, "a good client's waiting time, p99", percentile(&mut times, 0.99), "ms", Meant::Told);
    figure(PART, "memory before them", quiet.rss, "MB", Meant::Told);
    figure(PART, "memory after them", after.rss, "MB", Meant::Told);
    let left = after.descriptors as f64 - quiet.descriptors as f64;
    figure(PART, "descriptors left behind", left, "", Meant::AtMost(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_stalled_readers_wait_or_are_refused_by_default() {
    const PART: &str = "1,000 clients that never read, under the default limits";
    const RUNNING: usize = 4;
    const WAITING: usize = 256;
    let _alone = figures::alone().await;
    allow_descriptors();
    let ollama = Standin::new().await;
    let mut world = World::new(&ollama.url, "").await;
    let swarm = Swarm::new(&world, PEERS).await;
    let quiet = held_before_requests(&world.proxy.process);

    let readers = ask(&swarm, &world).await;
    ollama.runs(RUNNING).await;
    let refused = READERS as usize - RUNNING - WAITING;
    world.proxy.process.lines(&["\"status\":503"], refused).await;
    stalled(&ollama).await;
    let full = held(&world.proxy.process);
    assert_eq!(ollama.counts(), (RUNNING, RUNNING), "more reached Ollama than may run");
    drop(readers);
    let after = given_back(&world, quiet, full).await;
    ollama.runs(0).await;

    figure(PART, "run", RUNNING as f64, "", Meant::Told);
    figure(PART, "wait", WAITING as f64, "", Meant::Told);
    figure(PART, "are refused", refused as f64, "", Meant::Told);
    figure(PART, "memory of the proxy in all", full.rss, "MB", Meant::AtMost(256.0));
    let left = after.descriptors as f64 - quiet.descriptors as f64;
    figure(PART, "descriptors left behind", left, "", Meant::AtMost(0.0));
}

/// Clients that read as fast as they can.
const FAST: u64 = 64;

/// One thread of the proxy serves them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_of_fast_readers_starves_neither_one_of_them_nor_another_client() {
    const PART: &str = "64 clients that read as fast as they can";
    const CONFIG: &str = "limits.running = 2000\nlimits.running_per_identity = 2000\n";
    /// What each reads at least, in bytes.
    const EACH: usize = 4 << 20;
    let _alone = figures::alone().await;
    let ollama = Standin::new().await;
    let world = World::new(&ollama.url, CONFIG).await;
    let swarm = Swarm::new(&world, PEERS).await;

    let (begun, mut readers) = (Instant::now(), tokio::task::JoinSet::new());
    let steady = Steady::start(world.at, Duration::from_millis(20));
    for n in 0..FAST {
        let mut reader = connect(swarm.at(n)).await;
        readers.spawn(async move {
            reader.send(chat(n, "do=flood")).await;
            reader.head().await.unwrap();
            let mut read = 0;
            while read < EACH {
                read += reader.chunk().await.unwrap().len();
            }
            (begun.elapsed(), reader)
        });
    }
    let mut ended: Vec<_> = readers.join_all().await.into_iter().map(|(took, _)| took).collect();
    let (good, mut times) = steady.stop().await;
    assert!(good.lost == 0 && good.served > 0, "{good:?}");

    let (first, last) = (percentile(&mut ended, 0.0), percentile(&mut ended, 1.0));
    figure(PART, "the last has its 4 MiB after the first, times as long", last / first, "", Meant::Told);
    figure(PART, "a good client's requests served meanwhile", good.served as f64, "", Meant::Told);
    figure(PART, "a good client's waiting time, p99", percentile(&mut times, 0.99), "ms", Meant::Told);
}
