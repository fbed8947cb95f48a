//! How long Ollama goes on for a client that has disconnected. Ollama does not report that, so the next request of the same
//! model measures it: this Ollama answers one request of a model at a time.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use crate::counter::Counter;
use crate::figures::{self, Meant, figure};
use crate::http::*;
use crate::ollama;
use crate::swarm::connect;
use crate::tailnet::World;

const PART: &str = "Ollama, after the client of a request has gone";
/// A prompt that takes some seconds without vector instructions. Each character is a token.
const PROMPT: usize = 300;
/// A prompt of that length may take this long on a busy machine.
const LONG: Duration = Duration::from_secs(240);

fn chat(prompt: &str, max_tokens: Option<u32>) -> String {
    let ask = json!({"model": "slow", "messages": [{"role": "user", "content": prompt}], "stream": true,
        "max_tokens": max_tokens});
    post("/v1/chat/completions", &ask.to_string())
}

/// How long Ollama takes until the first byte of an answer of one token.
async fn answered_after(world: &World, prompt: &str) -> Duration {
    let begun = Instant::now();
    let mut client = connect(world.at).await;
    client.send(chat(prompt, Some(1))).await;
    within(LONG, "the answer", client.stream.readable()).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(client.answer().await.status(), 200);
    took
}

/// Disconnects, and measures when Ollama answers the next request.
async fn free_after(world: &World, client: Client<TcpStream>) -> f64 {
    drop(client);
    answered_after(world, "Hello").await.as_secs_f64() * 1e3
}

/// An answer to `!` has no end before many thousand tokens, so the next request is answered in time only if Ollama stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ollama_stops_generating_when_the_client_disconnects() {
    let _alone = figures::alone().await;
    let world = World::new(ollama::url(), "").await;
    let idle = answered_after(&world, "Hello").await.as_secs_f64() * 1e3;
    let mut client = connect(world.at).await;
    client.send(chat("go!", None)).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    client.chunk().await.unwrap();
    let generated = free_after(&world, client).await;
    figure(PART, "a short request, while Ollama is idle", idle, "ms", Meant::Told);
    figure(PART, "the same, after a client left during its answer", generated, "ms", Meant::Told);
}

/// Whether Ollama stops depends on its version: see docs/threat-model.md. So this test only measures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_of_an_abandoned_prompt_is_measured() {
    let _alone = figures::alone().await;
    let counter = Counter::in_front_of(ollama::url()).await;
    let world = World::new(&format!("http://{}", counter.at), "").await;
    // They differ in the first character, so that Ollama has no part of the second in its cache.
    let whole = answered_after(&world, &"a".repeat(PROMPT)).await;
    let mut client = connect(world.at).await;
    let before = counter.requests();
    client.send(chat(&"b".repeat(PROMPT), Some(1))).await;
    counter.one_more_than(before).await;
    delay(whole / 4).await;
    let abandoned = free_after(&world, client).await;
    let whole = whole.as_secs_f64() * 1e3;
    figure(PART, &format!("a prompt of {PROMPT} tokens"), whole, "ms", Meant::Told);
    figure(
        PART,
        "a short request, after a client left in a quarter of that time",
        abandoned,
        "ms",
        Meant::Told,
    );
}
