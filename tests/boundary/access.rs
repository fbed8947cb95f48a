//! Access that the tailnet grants and revokes while connections are open.

use remote_ollama_proxy::audit::Ended;
use remote_ollama_proxy::policy::AccessMode;
use remote_ollama_proxy::tailnet::PortMembers;
use serde_json::json;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn grant_narrows_access_and_its_absence_does_not() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
    assert_eq!(proxy.ask(&get("/api/tags")).await.status(), 200);
    soon("the request", seen.recv()).await;

    proxy.grant(vec![json!({"endpoints": ["v1_models"]})]);
    assert_eq!(proxy.ask(&get("/v1/models")).await.status(), 200);
    soon("the request", seen.recv()).await;
    let answer = proxy.ask(&get("/api/tags")).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());
    // The config's allowlist is the outer bound of every grant.
    proxy.grant(vec![json!({"endpoints": ["api_chat"]}), json!({"endpoints": ["*"]})]);
    assert!(proxy.ask(&post("/api/chat", "{}")).await.text().contains("endpoint-off"));
    // A faulty grant grants nothing.
    proxy.grant(vec![json!({"endpoints": ["everything"]})]);
    assert_eq!(proxy.ask(&get("/v1/models")).await.status(), 403);
    assert!(seen.is_empty());
}

#[tokio::test]
async fn access_by_grants_refuses_a_peer_without_a_grant() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).access(AccessMode::Grants).start();
    assert_eq!(proxy.ask(&get("/api/tags")).await.status(), 403);
    proxy.grant(vec![json!({})]);
    assert_eq!(proxy.ask(&get("/api/tags")).await.status(), 200);
}

#[tokio::test]
async fn revoked_peer_is_not_served_on_a_new_connection() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    proxy.revoke();
    let mut client = proxy.client().await;
    assert!(client.rest().await.is_empty());
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn revoked_peer_is_cut_mid_stream() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let (mut client, mut upstream) = proxy.stream(&ollama).await;
    let mut idle = proxy.client().await;
    proxy.has(2).await;

    assert_eq!(proxy.sweep(), 0);
    proxy.revoke();
    assert_eq!(proxy.sweep(), 2);
    assert!(!client.rest().await.ends_with(b"0\r\n\r\n"));
    upstream.rest().await;
    idle.rest().await;
    proxy.has(0).await;
}

#[tokio::test]
async fn narrower_grant_cuts_running_requests_and_holds_for_later_ones() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let (mut streaming, mut upstream) = proxy.stream(&ollama).await;
    let mut other = proxy.client().await;
    other.send(get("/api/tags")).await;
    let mut listing = ollama.accept().await;
    listing.head().await.unwrap();

    proxy.grant(vec![json!({"endpoints": ["api_tags"]})]);
    assert_eq!(proxy.sweep(), 1);
    streaming.rest().await;
    upstream.rest().await;
    // A request that is still granted goes on; the next request is decided again.
    listing.send(OK).await;
    assert_eq!(other.answer().await.status(), 200);
    other.send(get("/v1/models")).await;
    assert_eq!(other.answer().await.status(), 403);
}

#[tokio::test]
async fn peer_whose_identity_changed_is_cut() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let mut client = proxy.client().await;
    proxy.has(1).await;
    let mut roster = proxy.members();
    roster[0].user = Some("mallory@example.com".to_owned());
    assert_eq!(proxy.proxy.port().sweep().judge(&[PortMembers { port: 11434, members: roster.into() }]), 1);
    assert!(client.rest().await.is_empty());
    assert_eq!(proxy.proxy.port().sweep().judge(&[]), 0);
}

#[tokio::test]
async fn limits_of_a_grant_are_enforced() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url)
        .grants(vec![json!({"max_concurrent": 1, "requests_per_minute": 2, "max_body": 4})])
        .start();
    let mut first = proxy.client().await;
    first.send(post("/api/show", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    // A second request at the same time, from the same identity.
    let answer = proxy.ask(&get("/api/tags")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (429, Some("1")));
    assert!(answer.text().contains("(rule: concurrency)"));
    upstream.send(OK).await;
    assert_eq!(first.answer().await.status(), 200);

    // Too large, with and without a Content-Length.
    let answer = proxy.ask(&post("/api/show", "12345")).await;
    assert_eq!(answer.status(), 413);
    let answer = proxy.ask(&post("/api/show", "{}")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (429, Some("60")));
    assert!(answer.text().contains("(rule: rate)"));
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn body_above_the_limit_ends_the_request() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).grants(vec![json!({"max_body": 4})]).start();
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
async fn revoked_peer_is_cut_whatever_it_has_sent() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for request in [pipelined(), stuck_upload()] {
        proxy.grant(vec![]);
        let mut client = proxy.client().await;
        client.send(&request).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        proxy.revoke();
        assert_eq!(proxy.sweep(), 1);
        upstream.rest().await;
        client.rest().await;
        proxy.has(0).await;
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn sweep_skips_sessions_newer_than_its_netmap() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let port = proxy.proxy.port();
    // The netmap is requested before the peer joins the tailnet, and arrives after the peer has connected.
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
async fn older_netmap_does_not_restore_narrowed_access() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).start();
    let port = proxy.proxy.port();
    let (older, wide) = (port.sweep(), proxy.port_members());
    proxy.grant(vec![json!({"endpoints": ["v1_models"]})]);
    let narrow = proxy.port_members();
    // One session starts with the narrow grant; a newer netmap has already judged the other.
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
async fn sweep_without_a_netmap_cuts_older_sessions_and_records_why() {
    for why in [Ended::Unconfirmed, Ended::OutOfTailnet] {
        let ollama = Ollama::new().await;
        let proxy = Boundary::new(&ollama.url).start();
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
