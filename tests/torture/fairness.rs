//! More requests than Ollama can serve: a modest client does not wait for a greedy one, and excess requests are
//! refused at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::figures::{self, Meant, figure, percentile};
use crate::http::*;
use crate::ollama;
use crate::swarm::{Swarm, connect};
use crate::tailnet::World;

/// A chat of this many tokens; `slow` makes about 25 a second.
fn chat(tokens: u32, stream: bool) -> String {
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "go!"}], "stream": stream,
        "max_tokens": tokens});
    post("/v1/chat/completions", &body.to_string())
}

/// Sends a request; returns the time that it took.
async fn timed(at: SocketAddr, request: String) -> (Duration, Answer) {
    let mut client = connect(at).await;
    let begun = Instant::now();
    client.send(request).await;
    // Longer than elsewhere: a hundred requests run one after the other.
    let readable = tokio::time::timeout(Duration::from_secs(240), client.stream.readable()).await;
    readable.expect("an answer within four minutes").unwrap();
    let answer = client.answer().await;
    (begun.elapsed(), answer)
}

/// The queueing times of a peer's requests, from the log.
fn queued(log: &str, peer: &str) -> Vec<Duration> {
    let node = format!("{peer}.tailnet.test");
    let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = records.filter(|r| r["node"] == node.as_str() && r["status"] == 200);
    own.map(|r| Duration::from_secs_f64(r["queue_ms"].as_f64().unwrap() / 1e3)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modest_client_does_not_wait_for_a_greedy_one() {
    const PART: &str = "One client with 100 requests, one with one now and then";
    const GREEDY: usize = 100;
    const TOKENS: u32 = 2;
    const CONFIG: &str = "limits.running = 1\nlimits.waiting = 400\n"; // as many as Ollama runs at once
    let _alone = figures::alone().await;
    let mut world = World::new(ollama::url(), CONFIG).await;
    let swarm = Swarm::new(&world, 2).await;
    // The time of a request that does not wait.
    let (alone, answer) = timed(swarm.at(1), chat(TOKENS, false)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());

    let mut greedy = tokio::task::JoinSet::new();
    for _ in 0..GREEDY {
        greedy.spawn(timed(swarm.at(0), chat(TOKENS, false)));
    }
    let (mut asked, mut greedy_times) = (0, Vec::new());
    // While half of them wait, the modest client sends a request, rests as long as one takes, and repeats.
    while greedy_times.len() < GREEDY / 2 {
        let (_, answer) = timed(swarm.at(1), chat(TOKENS, false)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        asked += 1;
        delay(alone).await;
        while let Some(done) = greedy.try_join_next() {
            greedy_times.push(done.unwrap());
        }
    }
    while let Some(done) = greedy.join_next().await {
        greedy_times.push(done.unwrap());
    }
    assert!(greedy_times.iter().all(|(_, answer)| answer.status() == 200), "a greedy request was lost");
    world.proxy.process.lines(&["\"status\":200"], GREEDY + asked + 1).await;
    let log = world.proxy.process.output();
    let (mut greedy, mut modest) = (queued(&log, "peer-00"), queued(&log, "peer-01"));
    let of_one = percentile(&mut modest, 1.0) / (alone.as_secs_f64() * 1e3);
    figure(PART, "one request alone", alone.as_secs_f64() * 1e3, "ms", Meant::Told);
    figure(PART, "the modest one's requests", asked as f64, "", Meant::Told);
    figure(PART, "the modest one waits, p50", percentile(&mut modest, 0.5), "ms", Meant::Told);
    figure(PART, "the modest one waits, max", percentile(&mut modest, 1.0), "ms", Meant::Told);
    // The request that runs already, and the time to start and end it.
    figure(PART, "which is this many times one request", of_one, "", Meant::AtMost(1.5));
    figure(PART, "the greedy one waits, p50", percentile(&mut greedy, 0.5), "ms", Meant::Told);
    figure(PART, "the greedy one waits, max", percentile(&mut greedy, 1.0), "ms", Meant::Told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excess_clients_are_refused_at_once_without_harm() {
    const PART: &str = "Ten times as many requests as there are places";
    const TOKENS: u32 = 8;
    const RUNNING: usize = 4;
    const WAITING: usize = 16;
    const ASKED: usize = 10 * (RUNNING + WAITING);
    const CONFIG: &str = "limits.running = 4\nlimits.running_per_identity = 4\nlimits.waiting = 16\n";
    let _alone = figures::alone().await;
    let world = World::new(ollama::url(), CONFIG).await;
    // Each may use a quarter of the waiting slots.
    let swarm = Swarm::new(&world, 8).await;
    let mut all = tokio::task::JoinSet::new();
    let mut clients = Vec::new();
    for n in 0..ASKED {
        clients.push(connect(swarm.at(n as u64)).await);
    }
    // No figure should be the time of two hundred clients on two cores.
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for mut client in clients {
        ticks.tick().await;
        all.spawn(async move {
            let begun = Instant::now();
            client.send(chat(TOKENS, true)).await;
            let readable = tokio::time::timeout(Duration::from_secs(240), client.stream.readable()).await;
            readable.expect("an answer within four minutes").unwrap();
            let answered = begun.elapsed();
            (answered, client.answer().await)
        });
    }
    let (mut refused, mut whole) = (Vec::new(), 0);
    while let Some(done) = all.join_next().await {
        let (time, answer) = done.unwrap();
        match answer.status() {
            200 => {
                assert!(answer.text().trim_end().ends_with("[DONE]"), "a stream is not whole");
                whole += 1;
            }
            503 => refused.push(time),
            other => panic!("{other}: {}", answer.text()),
        }
    }
    // A slot that becomes free meanwhile is taken at once.
    assert!((RUNNING + WAITING..ASKED / 2).contains(&whole), "{whole} of {ASKED} were served");
    figure(PART, "asked within a second", ASKED as f64, "", Meant::Told);
    figure(PART, "served whole", whole as f64, "", Meant::AtLeast((RUNNING + WAITING) as f64));
    figure(PART, "refused", refused.len() as f64, "", Meant::Told);
    figure(PART, "refused after, p50", percentile(&mut refused, 0.5), "ms", Meant::Told);
    figure(PART, "refused after, p99", percentile(&mut refused, 0.99), "ms", Meant::AtMost(10.0));
}
