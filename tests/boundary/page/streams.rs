//! The event streams of the page.

use std::sync::Arc;

use serde_json::json;

use super::*;

#[tokio::test]
async fn page_stream_sends_only_changes() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let mut stream = site.watch().await;
    stream.until("Ollama's state", |known| !known["health"]["ollama"].is_null()).await;
    assert_eq!(stream.known["requests"]["rows"], json!([]));
    let (client, upstream) = running.stream(&ollama).await;
    let text = stream.until("the request", |known| known["requests"]["rows"] != json!([])).await;
    assert!(!text.contains("\"peers\"") && !text.contains("\"days\""), "{text}");
    let request = &stream.known["requests"]["rows"][0];
    assert_eq!((&request["endpoint"], &request["state"]), (&json!("v1_chat_completions"), &json!("running")));
    assert_eq!(request["bytes_out"], 5);
    drop((client, upstream));
    stream.until("its end", |known| known["requests"]["rows"] == json!([])).await;
    stream.until("its day", |known| known["days"]["identities"] != json!([])).await;

    site.members.send_replace(Arc::new(vec![member(bob(), vec![])]));
    let text =
        stream.until("who is left", |known| known["peers"]["rows"].as_array().unwrap().len() == 1).await;
    assert!(!text.contains("\"days\""), "{text}");
}

#[tokio::test]
async fn page_stream_ends_with_its_grant() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    for (before, after) in
        [("admin", json!({"page": "view"})), ("view", json!({"page": "admin"})), ("view", json!({}))]
    {
        running.grant(vec![json!({"page": before})]);
        let mut stream = site.watch().await;
        stream.next().await.unwrap();
        running.grant(vec![after]);
        assert_eq!(site.sweep(&running), 0);
        while let Some(text) = stream.next().await {
            // Events that were made before.
            assert_eq!(stream.known["you"]["page"], before, "{text}");
        }
        drop(stream);
        site.has(0).await;
    }
    running.grant(vec![json!({"page": "view"})]);
    let mut stream = site.watch().await;
    stream.next().await.unwrap();
    running.revoke();
    assert_eq!(site.sweep(&running), 1);
    while stream.next().await.is_some() {}
    site.has(0).await;
}

#[tokio::test]
async fn page_streams_are_limited_per_identity() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "view"})]);
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = site.watch().await;
        stream.next().await.unwrap();
        open.push(stream);
    }
    let answer = site.ask(&get("/events")).await;
    assert_eq!(answer.status(), 429);
    assert!(answer.text().contains("(rule: page-open)"), "{}", answer.text());
    open.pop();
    eventually("a free stream", async || site.stream_status().await == 200).await;
}
