//! A stop under load: running requests finish, new ones are refused, and those past the drain timeout are cut.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::figures::{self, Meant, figure};
use crate::http::*;
use crate::standin::Standin;
use crate::swarm::{Swarm, chat, connect};
use crate::tailnet::World;

const PART: &str = "Stopping with 100 running streams";
pub(crate) const STREAMS: u64 = 100;
const CONFIG: &str = "limits.running = 200\nlimits.running_per_identity = 200\n";

/// Streams that have begun, each with the head of its answer.
pub(crate) async fn begin(swarm: &Swarm, what: &str) -> Vec<(String, Client<TcpStream>)> {
    let mut streams = Vec::new();
    for n in 0..STREAMS {
        let mut client = connect(swarm.at(n)).await;
        client.send(chat(n, what)).await;
        streams.push(client);
    }
    let mut begun = Vec::new();
    for mut client in streams {
        let head = client.head().await.unwrap();
        client.chunk().await.unwrap();
        begun.push((head, client));
    }
    begun
}

/// The outcome of a new connection.
async fn answer_to_another(world: &World) -> Option<String> {
    let mut client = Client::new(TcpStream::connect(world.at).await.ok()?);
    client.stream.write_all(get("/api/version?n=1000").as_bytes()).await.ok()?;
    client.head().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_finishes_running_streams_and_starts_none() {
    let _alone = figures::alone().await;
    let ollama = Standin::new().await;
    let mut world = World::new(&ollama.url, CONFIG).await;
    let swarm = Swarm::new(&world, 4).await;
    // An idle connection, which should close at once.
    let mut kept = world.connect().await;
    kept.send(get("/api/version?n=1000")).await;
    assert_eq!(kept.answer().await.status(), 200);
    let streams = begin(&swarm, "do=stream&ms=20&count=150").await;

    let begun = Instant::now();
    world.proxy.process.signal(Signal::TERM);
    world.proxy.process.line(&["stopping: draining running requests"]).await;
    assert!(kept.rest().await.is_empty());
    // The listener closes a moment after the log says so.
    let mut refused = 0;
    eventually("a refusal", async || {
        let answered = answer_to_another(&world).await.is_some();
        refused += usize::from(answered);
        !answered
    })
    .await;
    println!("{refused} requests were answered before the listener was closed");
    for _ in 0..20 {
        assert_eq!(answer_to_another(&world).await, None, "a new connection was served while stopping");
    }
    assert_eq!(ollama.counts().1, STREAMS as usize, "the streams ended too early for this test");
    let mut whole = 0;
    for (head, mut client) in streams {
        let body = client.body(&head).await.expect("a stream was cut");
        assert_eq!(body.len(), 149 * b"data: word\n\n".len(), "a stream has lost something");
        assert!(client.rest().await.is_empty());
        whole += 1;
    }
    world.proxy.process.ended_with(0).await;
    world.proxy.process.line(&["\"message\":\"stopped\"", "\"cut\":0"]).await;
    figure(PART, "ended whole", f64::from(whole), "", Meant::AtLeast(STREAMS as f64));
    figure(PART, "the process had ended after", begun.elapsed().as_secs_f64(), "s", Meant::AtMost(30.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_past_the_drain_timeout_are_cut_and_counted() {
    let _alone = figures::alone().await;
    let ollama = Standin::new().await;
    let mut world = World::new(&ollama.url, &format!("{CONFIG}shutdown.drain_timeout = \"500ms\"\n")).await;
    let swarm = Swarm::new(&world, 4).await;
    let streams = begin(&swarm, "do=stream&ms=20").await;
    let begun = Instant::now();
    world.proxy.process.signal(Signal::TERM);
    world.proxy.process.lines(&["\"ended\":\"stopped\""], STREAMS as usize).await;
    for (_, mut client) in streams {
        assert!(!client.rest().await.ends_with(b"0\r\n\r\n"), "a stream that was cut looks whole");
    }
    ollama.runs(0).await;
    world.proxy.process.ended_with(0).await;
    let late = begun.elapsed().saturating_sub(Duration::from_millis(500));
    let line = world.proxy.process.line(&["\"message\":\"stopped\""]).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["cut"], STREAMS, "{line}");
    world.proxy.process.lines(&["\"ended\":\"stopped\""], STREAMS as usize).await;
    figure(PART, "past the deadline: cut, and counted in the log", STREAMS as f64, "", Meant::Told);
    figure(PART, "past the deadline: ended after another", late.as_secs_f64(), "s", Meant::AtMost(10.0));
}
