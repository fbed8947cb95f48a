//! Cancelling a request by its id: it, and no other.

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::policy::AccessMode;

use crate::support::*;

fn ids(running: &Running, runs: bool) -> Vec<String> {
    let sessions = running.proxy.live().sessions();
    let requests = sessions.iter().filter_map(|s| s.request());
    requests.filter(|r| r.running == runs).map(|r| r.id).collect()
}

#[tokio::test]
async fn a_running_request_is_cut_at_both_ends() {
    let ollama = Ollama::new().await;
    let running = Running::new(policy(), &ollama.url);
    let (mut client, mut upstream) = running.stream(&ollama).await;
    let (mut other, mut beside) = running.stream(&ollama).await;
    let id = ids(&running, true)[0].clone();
    assert!(running.proxy.live().cancel(&id, "the test"));
    assert!(client.rest().await.is_empty());
    upstream.rest().await;
    running.has(1).await;
    assert!(!running.proxy.live().cancel(&id, "the test"));

    beside.send("3\r\nend\r\n0\r\n\r\n").await;
    assert_eq!(other.chunk().await.unwrap(), b"end");
}

#[tokio::test]
async fn a_request_that_waits_is_cut_and_reaches_ollama_never() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 1, waiting: 8, wait: PATIENCE, ..Limits::NONE };
    let running = Running::limited(policy(), &ollama.url, PATIENCE, AccessMode::Network, limits);
    let (_first, _upstream) = running.stream(&ollama).await;
    let mut waiting = running.client().await;
    waiting.send(post("/v1/chat/completions", "{}")).await;
    running.waits(1).await;
    assert!(running.proxy.live().cancel(&ids(&running, false)[0], "the test"));
    assert!(waiting.rest().await.is_empty());
    running.waits(0).await;
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn what_has_ended_is_cancelled_no_more_and_its_connection_goes_on() {
    let ollama = Ollama::new().await;
    let running = Running::new(policy(), &ollama.url);
    let (mut client, mut upstream) = running.stream(&ollama).await;
    let id = ids(&running, true)[0].clone();
    upstream.send("0\r\n\r\n").await;
    assert!(client.chunk().await.unwrap().is_empty());
    client.send(get("/v1/models")).await;
    upstream.head().await.unwrap();
    assert!(!running.proxy.live().cancel(&id, "the test"));
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(client.answer().await.status(), 200);
}
