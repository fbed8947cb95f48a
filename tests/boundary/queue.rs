//! Requests that wait for a slot.

use std::sync::Arc;

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::ollama::Upstream;
use remote_ollama_proxy::policy::EndpointSet;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

const ONE: Limits = Limits { running: 1, waiting: 1, wait: PATIENCE, ..Limits::NONE };

#[tokio::test]
async fn full_queue_refuses_with_retry_after() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).limits(ONE).start();
    let (mut first, mut second) = (proxy.client().await, proxy.client().await);
    first.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    second.send(post("/v1/messages", "{}")).await;
    proxy.waits(1).await;
    let answer = proxy.ask(&post("/v1/responses", "{}")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert!(answer.text().contains("(rule: queue-full)"), "{}", answer.text());
    // A list of models takes no slot and does not wait.
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
async fn client_that_leaves_the_queue_never_reaches_ollama() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).limits(ONE).start();
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
async fn waiting_requests_time_out() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).limits(Limits { wait: PATIENCE / 2, ..ONE }).start();
    let mut first = proxy.client().await;
    first.send(post("/v1/chat/completions", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    let answer = proxy.ask(&post("/v1/chat/completions", "{}")).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("(rule: queue-time)"), "{}", answer.text());
}

#[tokio::test]
async fn connections_and_bodies_are_limited() {
    let ollama = Ollama::new().await;
    let proxy =
        Boundary::new(&ollama.url).limits(Limits { connections: 2, max_body: 3, ..Limits::NONE }).start();
    let mut kept = proxy.client().await;
    kept.send(post("/api/show", "1234")).await;
    assert_eq!(kept.answer().await.status(), 413);
    kept.rest().await;
    let (_one, _two) = (proxy.client().await, proxy.client().await);
    proxy.has(2).await;
    assert!(proxy.client().await.rest().await.is_empty());
    let proxy = Boundary::new(&ollama.url).limits(Limits { connections_per_peer: 1, ..Limits::NONE }).start();
    let _one = proxy.client().await;
    proxy.has(1).await;
    assert!(proxy.client().await.rest().await.is_empty());
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn new_limits_apply_to_waiting_requests() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).limits(ONE).start();
    let (_running, _its_upstream) = proxy.stream(&ollama).await;
    let mut second = proxy.client().await;
    second.send(post("/v1/messages", "{}")).await;
    proxy.waits(1).await;
    proxy.change(|rules| rules.limits.running = 2);
    assert!(ollama.accept().await.head().await.unwrap().starts_with("POST /v1/messages"));
}

#[tokio::test]
async fn endpoint_switched_off_refuses_waiting_requests() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).limits(ONE).start();
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
async fn waiting_request_uses_the_upstream_and_usage_setting_when_its_slot_runs() {
    let (old, new) = (Ollama::new().await, Ollama::new().await);
    let proxy = Boundary::new(&old.url).limits(ONE).start();
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
    let counted = async || proxy.counted().contains("tokens_untold_total{route=\"v1_messages\"} 1");
    eventually("an answer without tokens is counted as such", counted).await;
}

#[tokio::test]
async fn waiting_request_is_checked_against_the_body_limit_when_its_slot_runs() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).limits(ONE).start();
    let running = proxy.stream(&ollama).await;
    let mut second = proxy.client().await;
    second.send(post("/v1/messages", "1234")).await;
    proxy.waits(1).await;
    proxy.change(|rules| rules.limits.max_body = 3);
    drop(running);
    assert_eq!(second.answer().await.status(), 413);
    assert!(ollama.untouched().await);
}
