//! What an identity has spent of its quotas, over a restart and a crash.

use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Start, World};
use crate::who;

const CONFIG: &str = "limits.requests_per_day = 4\nlimits.tokens_per_month = 1000000\n";

/// A quota of `laptop`, as `who` shows it.
async fn quota(world: &World, key: &str, wanted: impl Fn(u64) -> bool) -> Value {
    let of = |answer: &Value| {
        let peers = answer["peers"].as_array().unwrap().iter();
        let quotas: Vec<Value> = peers
            .filter(|peer| peer["node"].as_str().is_some_and(|node| node.starts_with("laptop.")))
            .flat_map(|peer| peer["quotas"].as_array().unwrap().clone())
            .collect();
        quotas.into_iter().find(|quota| quota["key"] == key)
    };
    let is_wanted =
        |answer: &Value| of(answer).is_some_and(|quota| quota["used"].as_u64().is_some_and(&wanted));
    let answer = who::until(&world.tailnet, "the quota", is_wanted).await;
    of(&answer).unwrap()
}

#[tokio::test]
async fn spent_quotas_survive_a_restart_and_a_crash() {
    let mut world = World::new(ollama::url(), CONFIG).await;
    let start = Start { config: CONFIG.to_owned(), ..Start::new(&world.tailnet, ollama::url()) };
    let file = start.state.join("quotas.jsonl");
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let answer = world.ask(&post("/v1/chat/completions", &body)).await;
    assert_eq!((answer.status(), answer.header("x-ratelimit-remaining-requests")), (200, Some("3")));
    let tokens = quota(&world, "tokens_per_month", |used| used > 0).await;

    // The stop saves what was spent in the last seconds.
    world.proxy.process.signal(Signal::TERM);
    world.proxy.process.ended_with(0).await;
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    world.proxy = start.up().await;
    assert_eq!(quota(&world, "tokens_per_month", |used| used > 0).await, tokens);
    let answer = world.ask(&get("/v1/models")).await;
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("2"));

    // A crash loses only what is not in the file yet.
    found("the file", async || {
        std::fs::read_to_string(&file).unwrap().contains("\"requests\":{\"month\":2,").then_some(())
    })
    .await;
    world.proxy.process.signal(Signal::KILL);
    world.proxy.process.ended().await;
    // A line that was torn costs no other.
    let content = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, content + "{\"identity\":\"torn").unwrap();
    world.proxy = start.up().await;
    world.proxy.process.line(&["lines of the quotas' file are damaged: the rest applies"]).await;
    quota(&world, "requests_per_day", |used| used == 2).await;
    for status in [200, 200, 429] {
        assert_eq!(world.ask(&get("/v1/models")).await.status(), status);
    }
    let out = who::who(&world.tailnet, &[]).await;
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("used         4 of 4 requests a day, until "), "{text}");
    println!("{text}{}", world.ask(&get("/v1/models")).await.text());

    // A larger limit applies at once.
    let more = CONFIG.replace("per_day = 4", "per_day = 9");
    drop(Start { config: more, ..Start::new(&world.tailnet, ollama::url()) }.prepared(&["check"]));
    world.proxy.process.signal(Signal::HUP);
    world.proxy.process.line(&["the new config is in force"]).await;
    let answer = world.ask(&get("/v1/models")).await;
    assert_eq!((answer.status(), answer.header("x-ratelimit-remaining-requests")), (200, Some("4")));
}
