//! Requests that wait for their turn at Ollama.

use std::sync::Arc;

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::ollama::Upstream;
use remote_ollama_proxy::policy::{AccessMode, EndpointSet};

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn limited(url: &str, limits: Limits) -> Running {
    Running::limited(policy(), url, PATIENCE, AccessMode::Network, limits)
}

const ONE: Limits = Limits { running: 1, waiting: 1, wait: PATIENCE, ..Limits::NONE };

#[tokio::test]
async fn one_runs_one_waits_and_the_next_is_told_to_come_back() {
    let ollama = Ollama::new().await;
    let proxy = limited(&ollama.url, ONE);
    let (mut first, mut second) = (proxy.client().await, proxy.client().await);
    first.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    second.send(post("/v1/messages", "{}")).await;
    proxy.waits(1).await;
    let answer = proxy.ask(&post("/v1/responses", "{}")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert!(answer.text().contains("(rule: queue-full)"), "{}", answer.text());
    // A list of models makes nothing run, and waits for nothing.
    let mut lists = proxy.client().await;
    lists.send(get("/v1/models")).await;
    let mut list = ollama.accept().await;
    list.head().await.unwrap();
    list.send(OK).await;
    assert_eq!(lists.answer().await.status(), 200);

    assert!(ollama.untouched().await);
    upstream.send(OK).await;
    assert_eq!(first.answer().await.status(), 200);
    let mut upstream = ollama.accept().await;
    assert!(upstream.head().await.unwrap().starts_with("POST /v1/messages "));
    upstream.send(OK).await;
    assert_eq!(second.answer().await.status(), 200);
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_never_asked_for() {
    let ollama = Ollama::new().await;
    let proxy = limited(&ollama.url, ONE);
    let mut first = proxy.client().await;
    first.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    let mut second = proxy.client().await;
    second.send(post("/v1/chat/completions", "{}")).await;
    proxy.waits(1).await;
    drop(second);
    proxy.waits(0).await;
    upstream.send(OK).await;
    first.answer().await;
    assert!(ollama.untouched().await);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_config_says() {
    let ollama = Ollama::new().await;
    let proxy = limited(&ollama.url, Limits { wait: PATIENCE / 2, ..ONE });
    let mut first = proxy.client().await;
    first.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    let answer = proxy.ask(&post("/v1/chat/completions", "{}")).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("(rule: queue-time)"), "{}", answer.text());
}

#[tokio::test]
async fn there_is_an_end_to_connections_and_bodies() {
    let ollama = Ollama::new().await;
    let proxy = limited(&ollama.url, Limits { connections: 2, max_body: 3, ..Limits::NONE });
    let mut kept = proxy.client().await;
    kept.send(post("/api/show", "1234")).await;
    assert_eq!(kept.answer().await.status(), 413);
    kept.rest().await;
    let (_one, _two) = (proxy.client().await, proxy.client().await);
    proxy.has(2).await;
    assert!(proxy.client().await.rest().await.is_empty());
    let proxy = limited(&ollama.url, Limits { connections_per_peer: 1, ..Limits::NONE });
    let _one = proxy.client().await;
    proxy.has(1).await;
    assert!(proxy.client().await.rest().await.is_empty());
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn new_limits_hold_for_who_waits_already() {
    let ollama = Ollama::new().await;
    let proxy = limited(&ollama.url, ONE);
    let (_running, _its_upstream) = proxy.stream(&ollama).await;
    let mut second = proxy.client().await;
    second.send(post("/v1/messages", "{}")).await;
    proxy.waits(1).await;
    proxy.change(|rules| rules.limits.running = 2);
    assert!(ollama.accept().await.head().await.unwrap().starts_with("POST /v1/messages"));
}

#[tokio::test]
async fn an_endpoint_that_is_switched_off_is_off_for_who_waits_too() {
    let ollama = Ollama::new().await;
    let proxy = limited(&ollama.url, ONE);
    let running = proxy.stream(&ollama).await;
    let mut second = proxy.client().await;
    second.send(post("/v1/messages", "{}")).await;
    proxy.waits(1).await;
    proxy.change(|rules| rules.policy.endpoints = EndpointSet::EMPTY);
    drop(running);
    assert_eq!(second.answer().await.status(), 403);
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn waiting_request_runs_by_the_upstream_and_usage_setting_of_its_turn() {
    let (old, new) = (Ollama::new().await, Ollama::new().await);
    let proxy = limited(&old.url, ONE);
    let running = proxy.stream(&old).await;
    let mut second = proxy.client().await;
    second.send(post("/v1/messages", "{}")).await;
    proxy.waits(1).await;
    proxy.change(|rules| {
        rules.upstream = Arc::new(Upstream::parse(&new.url).unwrap());
        rules.usage = true;
    });
    drop(running);
    let mut upstream = new.accept().await;
    assert!(upstream.head().await.unwrap().starts_with("POST /v1/messages "));
    upstream.send(OK).await;
    assert_eq!(second.answer().await.status(), 200);
    assert!(old.untouched().await);
    soon("an answer without tokens is counted as such", async {
        while !proxy.counted().contains("tokens_untold_total{route=\"v1_messages\"} 1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn waiting_request_is_held_to_the_body_limit_of_its_turn() {
    let ollama = Ollama::new().await;
    let proxy = limited(&ollama.url, ONE);
    let running = proxy.stream(&ollama).await;
    let mut second = proxy.client().await;
    second.send(post("/v1/messages", "1234")).await;
    proxy.waits(1).await;
    proxy.change(|rules| rules.limits.max_body = 3);
    drop(running);
    assert_eq!(second.answer().await.status(), 413);
    assert!(ollama.untouched().await);
}
