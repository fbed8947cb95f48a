//! What the tailnet grants and takes away, while connections are open.

use remote_ollama_proxy::audit::Ended;
use remote_ollama_proxy::policy::AccessMode;
use remote_ollama_proxy::tailnet::PortMembers;
use serde_json::json;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_grant_narrows_and_its_absence_does_not() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Running::new(policy(), &url);
    assert_eq!(proxy.ask(&get("/api/tags")).await.status(), 200);
    soon("the request", seen.recv()).await;

    proxy.word.say(true, vec![json!({"endpoints": ["v1_models"]})]);
    assert_eq!(proxy.ask(&get("/v1/models")).await.status(), 200);
    soon("the request", seen.recv()).await;
    let answer = proxy.ask(&get("/api/tags")).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());
    // The config's allowlist is the outer bound, whatever is granted.
    proxy.word.say(true, vec![json!({"endpoints": ["api_chat"]}), json!({"endpoints": ["*"]})]);
    assert!(proxy.ask(&post("/api/chat", "{}")).await.text().contains("endpoint-off"));
    // Faulty, and the only one: nothing is granted.
    proxy.word.say(true, vec![json!({"endpoints": ["everything"]})]);
    assert_eq!(proxy.ask(&get("/v1/models")).await.status(), 403);
    assert!(seen.is_empty());
}

#[tokio::test]
async fn with_access_by_grants_nothing_goes_without_one() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Running::with(policy(), &url, PATIENCE, AccessMode::Grants);
    assert_eq!(proxy.ask(&get("/api/tags")).await.status(), 403);
    proxy.word.say(true, vec![json!({})]);
    assert_eq!(proxy.ask(&get("/api/tags")).await.status(), 200);
}

#[tokio::test]
async fn a_connection_whose_peer_has_just_lost_access_is_not_served() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    proxy.word.say(false, vec![]);
    let mut client = proxy.client().await;
    assert!(client.rest().await.is_empty());
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn who_loses_access_is_cut_in_mid_stream_and_ollama_stops() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let (mut client, mut upstream) = proxy.stream(&ollama).await;
    let mut idle = proxy.client().await;
    proxy.has(2).await;

    assert_eq!(proxy.judge(), 0);
    proxy.word.say(false, vec![]);
    assert_eq!(proxy.judge(), 2);
    assert!(!client.rest().await.ends_with(b"0\r\n\r\n"));
    upstream.rest().await;
    idle.rest().await;
    proxy.has(0).await;
}

#[tokio::test]
async fn a_narrower_grant_cuts_what_runs_and_holds_for_what_follows() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let (mut streaming, mut upstream) = proxy.stream(&ollama).await;
    let mut other = proxy.client().await;
    other.send(get("/api/tags")).await;
    let mut listing = ollama.accept().await;
    listing.head().await.unwrap();

    proxy.word.say(true, vec![json!({"endpoints": ["api_tags"]})]);
    assert_eq!(proxy.judge(), 1);
    streaming.rest().await;
    upstream.rest().await;
    // What is still granted goes on, and the next request is judged anew.
    listing.send(OK).await;
    assert_eq!(other.answer().await.status(), 200);
    other.send(get("/v1/models")).await;
    assert_eq!(other.answer().await.status(), 403);
}

#[tokio::test]
async fn a_peer_that_became_somebody_else_is_cut() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let mut client = proxy.client().await;
    proxy.has(1).await;
    let mut roster = proxy.word.members();
    roster[0].user = Some("mallory@example.com".to_owned());
    assert_eq!(proxy.proxy.port().sweep().judge(&[PortMembers { port: 11434, members: roster.into() }]), 1);
    assert!(client.rest().await.is_empty());
    assert_eq!(proxy.proxy.port().sweep().judge(&[]), 0);
}

#[tokio::test]
async fn limits_of_a_grant_hold() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    proxy.word.say(true, vec![json!({"max_concurrent": 1, "requests_per_minute": 2, "max_body": 4})]);
    let mut first = proxy.client().await;
    first.send(post("/api/show", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    // A second one at once, from the same identity.
    let answer = proxy.ask(&get("/api/tags")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (429, Some("1")));
    assert!(answer.text().contains("(rule: concurrency)"));
    upstream.send(OK).await;
    assert_eq!(first.answer().await.status(), 200);

    // Too large, said or not said beforehand.
    let answer = proxy.ask(&post("/api/show", "12345")).await;
    assert_eq!(answer.status(), 413);
    let answer = proxy.ask(&post("/api/show", "{}")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (429, Some("60")));
    assert!(answer.text().contains("(rule: rate)"));
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn a_body_that_grows_too_large_ends_the_request() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    proxy.word.say(true, vec![json!({"max_body": 4})]);
    let mut client = proxy.client().await;
    client
        .send("POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    assert_eq!(upstream.chunk().await.unwrap(), b"abc");
    client.send("3\r\ndef\r\n").await;
    assert_eq!(client.answer().await.status(), 413);
    assert!(!upstream.rest().await.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn who_loses_access_is_cut_whatever_it_has_sent() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for request in [pipelined(), stuck_upload()] {
        proxy.word.say(true, vec![]);
        let mut client = proxy.client().await;
        client.send(&request).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        proxy.word.say(false, vec![]);
        assert_eq!(proxy.judge(), 1);
        upstream.rest().await;
        client.rest().await;
        proxy.has(0).await;
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn session_admitted_after_a_list_was_requested_is_not_judged_by_it() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let port = proxy.proxy.port();
    // The list is requested before the peer joins the tailnet, and arrives after the peer has connected.
    let sweep = port.sweep();
    let before = [PortMembers { port: 11434, members: Vec::new().into() }];
    let (mut client, mut upstream) = proxy.stream(&ollama).await;
    assert_eq!(sweep.judge(&before), 0);
    upstream.send("2\r\non\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"on");
    assert_eq!(port.sweep().judge(&before), 1);
    client.rest().await;
}

#[tokio::test]
async fn older_list_does_not_give_back_what_was_narrowed() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Running::new(policy(), &url);
    let port = proxy.proxy.port();
    let (older, wide) = (port.sweep(), proxy.word.port_members());
    proxy.word.say(true, vec![json!({"endpoints": ["v1_models"]})]);
    let narrow = proxy.word.port_members();
    // The one connects with the narrow grant; the other is judged by a newer list.
    let mut admitted = proxy.client().await;
    proxy.has(1).await;
    older.judge(&wide);
    let older = port.sweep();
    port.sweep().judge(&narrow);
    older.judge(&wide);
    admitted.send(get("/api/tags")).await;
    assert_eq!(admitted.answer().await.status(), 403);
}

#[tokio::test]
async fn sessions_older_than_a_sweep_without_a_list_are_cut_and_the_reason_recorded() {
    for why in [Ended::Unconfirmed, Ended::OutOfTailnet] {
        let ollama = Ollama::new().await;
        let proxy = Running::new(policy(), &ollama.url);
        let (mut older, mut upstream) = proxy.stream(&ollama).await;
        let sweep = proxy.proxy.port().sweep();
        let (mut newer, mut still) = proxy.stream(&ollama).await;
        assert_eq!(sweep.cut(why), 1);
        older.rest().await;
        upstream.rest().await;
        still.send("2\r\non\r\n").await;
        assert_eq!(newer.chunk().await.unwrap(), b"on");
        proxy.has(1).await;
        let counted = proxy.counted();
        assert!(counted.contains(&format!("ended=\"{}\"", why.name())), "{counted}");
    }
}
