//! Counting tokens: answers pass unchanged and at once, and what is counted is what Ollama tells.

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::policy::{AccessMode, EndpointSet, Policy};
use serde_json::json;

use crate::support::*;

const PREFIX: &str = "remote_ollama_proxy_tokens_";

fn counting(url: &str, usage: bool) -> Running {
    let proxy = Running::new(Policy { endpoints: EndpointSet::ALL, ..policy() }, url);
    proxy.change(|rules| rules.usage = usage);
    proxy
}

/// What is counted of tokens by now, a line for each number, without what all names begin with.
fn counted(proxy: &Running) -> Vec<String> {
    let text = proxy.counted();
    let mut lines: Vec<_> = text.lines().filter_map(|l| Some(l.strip_prefix(PREFIX)?.to_owned())).collect();
    lines.sort();
    lines
}

/// Waits for it: a request is counted when it has ended here, which may be after the client has seen the end.
async fn has(proxy: &Running, lines: &[&str]) {
    soon("what is counted", async {
        while counted(proxy) != lines {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn answer(kind: &str, body: &str) -> String {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    head + body
}

const TOLD: &str =
    r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":11,"completion_tokens":5}}"#;

#[tokio::test]
async fn an_answer_passes_as_it_is_and_its_tokens_are_counted() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| answer("application/json", TOLD));
    let proxy = counting(&url, true);
    assert_eq!(proxy.ask(&post("/v1/chat/completions", "{}")).await.text(), TOLD);
    // A model does not run for this one.
    assert_eq!(proxy.ask(&post("/api/show", "{}")).await.text(), TOLD);
    let route = "{route=\"v1_chat_completions\"}";
    has(&proxy, &[&format!("in_total{route} 11"), &format!("out_total{route} 5")]).await;
}

#[tokio::test]
async fn without_the_setting_nothing_is_counted() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| answer("application/json", TOLD));
    let proxy = counting(&url, false);
    assert_eq!(proxy.ask(&post("/v1/chat/completions", "{}")).await.text(), TOLD);
    proxy.has(0).await;
    assert!(counted(&proxy).is_empty());
}

#[tokio::test]
async fn a_stream_is_not_delayed_and_its_last_word_counts() {
    let ollama = Ollama::new().await;
    let proxy = counting(&ollama.url, true);
    let mut client = proxy.client().await;
    client.send(post("/v1/messages", "{}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    upstream.send(head).await;
    client.head().await.unwrap();
    for event in [
        "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":0}}}\n\n",
        "data: {\"delta\":{\"text\":\"\\n\\ndata: {\\\"usage\\\":{\\\"output_tokens\\\":1000}}\"}}\n\n",
        "event: message_delta\ndata: {\"usage\":{\"input_to",
        "kens\":7,\"output_tokens\":3}}\n\n",
    ] {
        upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(client.chunk().await.unwrap(), event.as_bytes());
    }
    upstream.send("0\r\n\r\n").await;
    assert!(client.chunk().await.unwrap().is_empty());
    has(&proxy, &["in_total{route=\"v1_messages\"} 7", "out_total{route=\"v1_messages\"} 3"]).await;
}

#[tokio::test]
async fn what_an_answer_does_not_tell_is_counted_as_not_told() {
    let (url, _seen) = Ollama::new().await.answering_with(|head| match head.split(' ').nth(1).unwrap() {
        "/api/generate" => "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "/api/chat" => answer("text/plain", TOLD),
        _ => answer("text/event-stream", "data: {\"choices\":[]}\n\ndata: [DONE]\n\n"),
    });
    let proxy = counting(&url, true);
    for target in ["/api/generate", "/api/chat", "/v1/completions"] {
        proxy.ask(&post(target, "{}")).await;
    }
    has(
        &proxy,
        &[
            "in_total{route=\"api_chat\"} 0",
            "in_total{route=\"v1_completions\"} 0",
            "out_total{route=\"api_chat\"} 0",
            "out_total{route=\"v1_completions\"} 0",
            "untold_total{route=\"api_chat\"} 1",
            "untold_total{route=\"v1_completions\"} 1",
        ],
    )
    .await;
}

/// A client's Accept-Encoding goes on to whoever answers for a cloud model.
#[tokio::test]
async fn no_coding_is_asked_for_where_tokens_are_counted() {
    let (url, mut seen) = Ollama::new().await.answering_with(|_| answer("application/json", TOLD));
    for (usage, grants, asked) in [
        (true, vec![], "identity"),
        (false, vec![json!({"tokens_per_day": 1000})], "identity"),
        (false, vec![], "gzip, br"),
    ] {
        let proxy = counting(&url, usage);
        proxy.word.say(true, grants);
        let body = "{}";
        for (target, asked) in [("/v1/chat/completions", asked), ("/api/show", "gzip, br")] {
            let request = post(target, body).replace("\r\n\r\n", "\r\nAccept-Encoding: gzip, br\r\n\r\n");
            assert_eq!(proxy.ask(&request).await.status(), 200);
            let request = seen.recv().await.unwrap();
            assert_eq!(request.header("accept-encoding"), Some(asked), "{target}, {usage}");
        }
    }
}

/// One that is compressed all the same.
#[tokio::test]
async fn answer_that_cannot_be_read_is_charged() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| {
        answer("application/json", &"?".repeat(160)).replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n")
    });
    let proxy = counting(&url, false);
    proxy.word.say(true, vec![json!({"tokens_per_day": 10})]);
    assert_eq!(proxy.ask(&post("/v1/chat/completions", "{}")).await.status(), 200);
    proxy.has(0).await;
    let refused = proxy.ask(&post("/v1/chat/completions", "{}")).await;
    assert!(refused.status() == 429 && refused.text().contains("(rule: tokens)"), "{refused:?}");
}

#[tokio::test]
async fn who_has_spent_a_days_tokens_waits_for_the_next() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| answer("application/json", TOLD));
    let proxy = counting(&url, false);
    proxy.word.say(true, vec![json!({"tokens_per_day": 17})]);
    for _ in 0..2 {
        assert_eq!(proxy.ask(&post("/v1/chat/completions", "{}")).await.status(), 200);
    }
    // What is spent is counted when the answer has ended here.
    soon("a refusal", async {
        loop {
            let refused = proxy.ask(&post("/v1/messages", "{}")).await;
            if refused.status() == 429 {
                assert!(refused.text().contains("(rule: tokens)"), "{}", refused.text());
                let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=86_400).contains(&wait));
                return;
            }
        }
    })
    .await;
    // What needs no model goes on, and so does whoever is granted more.
    assert_eq!(proxy.ask(&get("/v1/models")).await.status(), 200);
    proxy.word.say(true, vec![json!({"tokens_per_day": 17}), json!({})]);
    assert_eq!(proxy.ask(&post("/v1/messages", "{}")).await.status(), 200);
}

/// Requests of one identity that all began to wait before a token was spent.
#[tokio::test]
async fn waiting_request_is_held_to_the_tokens_and_the_grant_of_its_turn() {
    let ollama = Ollama::new().await;
    let limits = Limits { running: 2, running_per_identity: 2, waiting: 16, ..Limits::NONE };
    for (before, meanwhile, rule) in [
        (json!({"tokens_per_day": 1}), json!({"tokens_per_day": 1}), "tokens"),
        (json!({}), json!({"max_concurrent": 1}), "concurrency"),
    ] {
        let proxy = Running::limited(policy(), &ollama.url, PATIENCE, AccessMode::Network, limits);
        proxy.word.say(true, vec![before]);
        let mut running = Vec::new();
        for _ in 0..2 {
            let mut client = proxy.client().await;
            client.send(post("/v1/chat/completions", "{}")).await;
            let mut upstream = ollama.accept().await;
            upstream.head().await.unwrap();
            running.push((client, upstream));
        }
        let mut waiting = proxy.client().await;
        waiting.send(post("/v1/chat/completions", "{}")).await;
        proxy.waits(1).await;
        proxy.word.say(true, vec![meanwhile]);
        proxy.judge();
        let (mut client, mut upstream) = running.pop().unwrap();
        upstream.send(answer("application/json", TOLD)).await;
        client.answer().await;
        let refused = waiting.answer().await;
        let named = refused.text().contains(&format!("(rule: {rule})"));
        assert!(refused.status() == 429 && named, "{rule}: {refused:?}");
    }
}
