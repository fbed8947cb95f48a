//! Usage by model: only names of Ollama's own list are kept, and requests and answers pass unchanged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use remote_ollama_proxy::policy::{EndpointSet, ModelRules, Models, Policy};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::*;

const TOLD: &str = r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5}}"#;

/// The names that the stand-in for Ollama lists; `None`: it answers with 500.
type Listed = Arc<Mutex<Option<Vec<&'static str>>>>;

/// A stand-in that answers `/api/tags` with a list of models, and everything else with [`TOLD`].
async fn ollama(names: Option<Vec<&'static str>>) -> (String, Listed, UnboundedReceiver<Answer>) {
    let listed: Listed = Arc::new(Mutex::new(names));
    let names = Arc::clone(&listed);
    let (url, seen) = Ollama::new().await.answering_with(move |head| {
        let answer = |status, body: &str| {
            let head = "Content-Type: application/json\r\nContent-Length";
            format!("HTTP/1.1 {status}\r\n{head}: {}\r\n\r\n{body}", body.len())
        };
        if !head.starts_with("GET /api/tags") {
            return answer("200 OK", TOLD);
        }
        match &*names.lock().unwrap() {
            None => answer("500 No", "{}"),
            Some(names) => {
                let models = names.iter().map(|name| json!({"model": name, "digest": "d"}));
                answer("200 OK", &json!({"models": models.collect::<Vec<_>>()}).to_string())
            }
        }
    });
    (url, listed, seen)
}

fn counting(url: &str) -> Running {
    Boundary::new(url).policy(Policy { endpoints: EndpointSet::ALL, ..policy() }).usage(true).start()
}

/// The request counters, one per line, as `model count`.
fn requests(proxy: &Running) -> Vec<String> {
    let text = proxy.counted();
    let line = |line: &str| {
        let line = line.strip_prefix("remote_ollama_proxy_model_requests_total{model=\"")?;
        Some(line.replace("\"}", ""))
    };
    let mut lines: Vec<_> = text.lines().filter_map(line).collect();
    lines.sort();
    lines
}

/// Waits for these counts. A request is counted when it ends at the proxy, which may be after the client's end.
async fn has(proxy: &Running, lines: &[&str]) {
    eventually("these counts", async || requests(proxy) == lines).await;
}

/// Asks for `model` until it counts, since no request waits for Ollama's list. Returns how many requests counted as `other`
/// meanwhile.
async fn counts(proxy: &Running, model: &str) -> u64 {
    let total = |line: &String| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let (all, named) = (
        || requests(proxy).iter().map(total).sum::<u64>(),
        || requests(proxy).iter().any(|line| line.starts_with(model)),
    );
    for asked in 0.. {
        let before = all();
        assert_eq!(proxy.ask(&chat(model)).await.status(), 200);
        eventually("the count", async || all() == before + 1).await;
        if named() {
            return asked;
        }
    }
    unreachable!()
}

/// Lets the clock of the proxy jump.
async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

fn chat(model: &str) -> String {
    post("/v1/chat/completions", &json!({"messages": [], "model": model}).to_string())
}

#[tokio::test]
async fn usage_is_counted_by_the_names_of_ollamas_list() {
    let (url, _listed, _seen) = ollama(Some(vec!["tiny:latest", "Someone/B:8b", "big:120b-cloud"])).await;
    let proxy = counting(&url);
    let other = counts(&proxy, "tiny").await;
    for request in [
        chat("Tiny:latest"),
        chat("registry.ollama.ai/library/tiny"),
        post("/api/show", "{\"name\":\"tiny\"}"),
        get("/v1/models/tiny"),
        get("/v1/models/tiny%3Alatest"),
        chat("someone/b:8b"),
        chat("big:120b:cloud"),
        post("/v1/audio/transcriptions?model=someone%2Fb:8b", ""),
    ] {
        assert_eq!(proxy.ask(&request).await.status(), 200, "{request}");
    }
    // These name no model.
    for request in [get("/v1/models"), get("/api/tags"), get("/api/ps")] {
        assert_eq!(proxy.ask(&request).await.status(), 200, "{request}");
    }
    has(&proxy, &["Someone/B:8b 2", "big:120b-cloud 1", &format!("other {other}"), "tiny:latest 6"]).await;
    let text = proxy.counted();
    for line in
        ["tokens_in_total{model=\"big:120b-cloud\"} 11\n", "tokens_out_total{model=\"big:120b-cloud\"} 5\n"]
    {
        assert!(text.contains(&format!("\nremote_ollama_proxy_model_{line}")), "{text}");
    }
}

#[tokio::test]
async fn hostile_names_are_never_kept() {
    let (url, _listed, mut seen) = ollama(Some(vec!["tiny:latest"])).await;
    let proxy = counting(&url);
    let known = counts(&proxy, "tiny").await;
    while seen.try_recv().is_ok() {}
    let long = "a".repeat(5000);
    let form = post("/v1/chat/completions", "{\"model\":\"tiny\"}");
    let requests = [
        chat("my-secret"),
        chat("tiny\"} 7\n"),
        chat("tiny:local"),
        chat("tiny "),
        chat(""),
        chat(&long),
        post("/api/chat", "{\"model\":\"tiny\",\"model\":\"my-secret\"}"),
        post("/api/chat", "{\"model\":\"tiny\",\"MODEL\":\"tiny\"}"),
        post("/api/chat", "{\"model\":\"tiny\"}{\"model\":\"my-secret\"}"),
        post("/api/chat", "{\"model\":[\"tiny\"]}"),
        post("/api/chat", "my-secret"),
        post("/api/chat", "{}"),
        get("/v1/models/my-secret"),
        post("/v1/audio/transcriptions?model=tiny&model=my-secret", ""),
        post("/v1/audio/transcriptions", "{\"model\":\"tiny\"}"),
        form.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n"),
        form.replace("\r\n\r\n", "\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"),
    ];
    for request in &requests {
        assert_eq!(proxy.ask(request).await.status(), 200, "{request}");
        // Nothing is changed on the way.
        let body = request.split_once("\r\n\r\n").unwrap().1;
        let mut sent = soon("the request", seen.recv()).await.unwrap();
        if sent.head.starts_with("GET /api/tags") {
            sent = soon("the request", seen.recv()).await.unwrap();
        }
        assert_eq!(sent.body, body.as_bytes(), "{request}");
    }
    has(&proxy, &[&format!("other {}", known + requests.len() as u64), "tiny:latest 1"]).await;
    assert!(!proxy.counted().contains("secret"), "{}", proxy.counted());
}

#[tokio::test]
async fn second_model_at_the_end_of_a_long_body_counts_as_other() {
    let ollama = Ollama::new().await;
    let proxy = counting(&ollama.url);
    let mut client = proxy.client().await;
    client
        .send("POST /api/chat HTTP/1.1\r\nHost: remote-ollama-proxy\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    // Each part reaches Ollama before the next one is sent.
    client.send("f\r\n{\"model\":\"tiny\"\r\n").await;
    assert_eq!(upstream.chunk().await.unwrap(), b"{\"model\":\"tiny\"");
    let mut tags = ollama.accept().await;
    assert!(tags.head().await.unwrap().starts_with("GET /api/tags "));
    let list = r#"{"models":[{"model":"tiny:latest","digest":"d"}]}"#;
    tags.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len())).await;
    assert!(tags.rest().await.is_empty());
    client.send("12\r\n,\"model\":\"secret\"}\r\n0\r\n\r\n").await;
    assert_eq!(upstream.chunk().await.unwrap(), b",\"model\":\"secret\"}");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(client.answer().await.status(), 200);
    has(&proxy, &["other 1"]).await;
}

#[tokio::test]
async fn usage_without_a_list_counts_as_other_until_there_is_one() {
    let (url, listed, mut seen) = ollama(None).await;
    let proxy = counting(&url);
    for _ in 0..3 {
        assert_eq!(proxy.ask(&chat("tiny")).await.status(), 200);
    }
    has(&proxy, &["other 3"]).await;
    for _ in 0..4 {
        soon("three requests and one question", seen.recv()).await.unwrap();
    }
    assert!(seen.try_recv().is_err(), "Ollama is asked once, however many requests there are");

    later(Duration::from_secs(11)).await;
    *listed.lock().unwrap() = Some(vec!["tiny:latest"]);
    let other = 3 + counts(&proxy, "tiny").await;
    has(&proxy, &[&format!("other {other}"), "tiny:latest 1"]).await;
}

#[tokio::test]
async fn changed_list_of_models_is_noticed() {
    let (url, listed, _seen) = ollama(Some(vec!["tiny:latest"])).await;
    let proxy = counting(&url);
    let other = counts(&proxy, "tiny").await;
    *listed.lock().unwrap() = Some(vec!["tiny:latest", "new:1b"]);
    later(Duration::from_secs(11)).await;
    let more = counts(&proxy, "new:1b").await;
    has(&proxy, &["new:1b 1", &format!("other {}", other + more), "tiny:latest 1"]).await;
    // If Ollama then fails to list them, the names of before stay.
    *listed.lock().unwrap() = None;
    later(Duration::from_secs(11)).await;
    for _ in 0..3 {
        proxy.ask(&chat("tiny")).await;
    }
    has(&proxy, &["new:1b 1", &format!("other {}", other + more), "tiny:latest 4"]).await;
}

#[tokio::test]
async fn list_of_another_ollama_is_not_used() {
    let (url, _listed, _seen) = ollama(Some(vec!["tiny:latest"])).await;
    let proxy = counting(&url);
    let other = counts(&proxy, "tiny").await;
    let (url, _listed, _seen) = ollama(Some(vec!["new:1b"])).await;
    let upstream = remote_ollama_proxy::ollama::Upstream::parse(&url).unwrap();
    proxy.change(|rules| rules.upstream = Arc::new(upstream));
    let more = counts(&proxy, "new:1b").await;
    assert_eq!(proxy.ask(&chat("tiny")).await.status(), 200);
    has(&proxy, &["new:1b 1", &format!("other {}", other + more + 1), "tiny:latest 1"]).await;
}

#[tokio::test]
async fn nothing_is_read_or_asked_without_usage() {
    let (url, _listed, mut seen) = ollama(Some(vec!["tiny:latest"])).await;
    let proxy = Boundary::new(&url).start();
    proxy.grant(vec![json!({"tokens_per_day": 1000})]);
    assert_eq!(proxy.ask(&chat("tiny")).await.status(), 200);
    assert_eq!(proxy.ask(&get("/v1/models/tiny")).await.status(), 200);
    proxy.has(0).await;
    assert!(!proxy.counted().contains("_model_"), "{}", proxy.counted());
    for path in ["/v1/chat/completions", "/v1/models/tiny"] {
        assert!(seen.recv().await.unwrap().head.contains(path));
    }
    assert!(seen.try_recv().is_err(), "Ollama is asked for no list");
}

#[tokio::test]
async fn refused_model_counts_for_no_model() {
    let (url, _listed, _seen) = ollama(Some(vec!["tiny:latest"])).await;
    let allow = Some(Models::of(vec!["tiny".to_owned()]));
    let models = ModelRules { allow, ..ModelRules::default() };
    let proxy = Boundary::new(&url).policy(Policy { models, ..policy() }).usage(true).start();
    let other = counts(&proxy, "tiny").await;
    let refused = proxy.ask(&chat("my-secret")).await;
    assert!(refused.status() == 404 && refused.text().contains("(rule: model)"), "{}", refused.text());
    assert_eq!(proxy.ask(&chat("tiny")).await.status(), 200);
    has(&proxy, &[&format!("other {other}"), "tiny:latest 2"]).await;
    assert!(!proxy.counted().contains("secret"), "{}", proxy.counted());
}
