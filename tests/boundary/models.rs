//! Rules about models: allowed requests pass unchanged, and Ollama receives nothing of the refused ones.

use remote_ollama_proxy::policy::{Endpoint, EndpointSet, ModelRules, Models, Policy};
use serde_json::json;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn models(patterns: &[&str]) -> Models {
    Models::of(patterns.iter().map(|pattern| Models::pattern(pattern).unwrap()).collect())
}

/// All endpoints are on, for these models only.
fn only(patterns: &[&str]) -> Policy {
    let models = ModelRules { allow: Some(models(patterns)), ..ModelRules::default() };
    Policy { endpoints: EndpointSet::ALL, models, ..policy() }
}

fn chunked(target: &str, chunks: &[&str]) -> String {
    let body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!(
        "POST {target} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n"
    )
}

/// Each endpoint whose body is JSON that names a model.
fn with_body() -> impl Iterator<Item = Endpoint> {
    let is_form = |e: &Endpoint| e.name() == "v1_audio_transcriptions";
    Endpoint::all().filter(move |e| (e.computes() || e.name() == "api_show") && !is_form(e))
}

#[tokio::test]
async fn bodies_are_not_read_without_model_rules() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(Policy { endpoints: EndpointSet::ALL, ..policy() }).start();
    for endpoint in with_body() {
        for body in ["no JSON", "{\"model\":\"a\",\"model\":\"b\"}", "\u{feff}", ""] {
            assert_eq!(proxy.ask(&post(endpoint.path(), body)).await.status(), 200, "{endpoint:?} {body}");
            assert_eq!(soon("the request", seen.recv()).await.unwrap().body, body.as_bytes());
        }
    }
    // A grant without `models` does not restrict them.
    proxy.grant(vec![json!({"models": ["a"]}), json!({"endpoints": ["api_show"]})]);
    assert_eq!(proxy.ask(&post("/api/show", "no JSON")).await.status(), 200);
}

#[tokio::test]
async fn allowed_model_passes_byte_for_byte() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(only(&["qwen*", "someone/b:8b"])).start();
    let long = format!("{{\"messages\":[\"{}\"], \"model\":\"qwen3\"}}", "x".repeat(500_000));
    for body in [
        "{\"model\":\"qwen3\"}",
        " {\"stream\" : true,\r\n \"mod\\u0065l\":\"QWEN3:Latest\",\"x\":\"\\ud800 \\u0000\"} \n",
        "{\"Model\":\"registry.ollama.ai/library/qwen3\",\"messages\":[{\"model\":\"other\"}]}",
        "{\"messages\":[],\"model\":\"someone/b:8b\"}",
        &long,
    ] {
        for endpoint in with_body() {
            let short = endpoint.name() == "api_show" && body.len() > 64 << 10;
            let wanted = if short { 403 } else { 200 };
            assert_eq!(proxy.ask(&post(endpoint.path(), body)).await.status(), wanted, "{endpoint:?}");
            if wanted == 200 {
                let asked = soon("the request", seen.recv()).await.unwrap();
                assert!(asked.body == body.as_bytes(), "{endpoint:?}");
                assert_eq!(asked.header("content-length"), Some(&*body.len().to_string()));
            }
        }
        let middle = body.len() / 2;
        let (head, tail) = body.split_at(middle);
        let (first, rest) = head.split_at(1);
        assert_eq!(proxy.ask(&chunked("/v1/messages", &[first, rest, tail])).await.status(), 200);
        let asked = soon("the request", seen.recv()).await.unwrap();
        assert!(asked.body == body.as_bytes() && asked.header("transfer-encoding") == Some("chunked"));
    }
    assert!(seen.is_empty());
}

#[tokio::test]
async fn refused_model_never_reaches_ollama() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(only(&["qwen3"])).start();
    let mut bodies = vec![
        ("{\"model\":\"gemma3\"}".to_owned(), "\\\"gemma3\\\" is not allowed here"),
        ("{\"model\":\"qwen3:8b\"}".to_owned(), "models.allow"),
        ("{\"model\":\"qwen3:cloud\"}".to_owned(), "models.allow"),
        ("{\"model\":\"qwen3:local\"}".to_owned(), ":local"),
        ("{\"model\":\"qwen3 \"}".to_owned(), "\\\"qwen3?\\\""),
        ("{\"model\":\"qwen3\",\"model\":\"gemma3\"}".to_owned(), "more than once"),
        ("{\"model\":\"qwen3\",\"MODEL\":\"gemma3\"}".to_owned(), "more than once"),
        ("{\"model\":\"qwen3\"}{\"model\":\"gemma3\"}".to_owned(), "not one JSON object"),
        ("{\"model\":[\"qwen3\"]}".to_owned(), "is not a model's name"),
        ("{\"messages\":[]}".to_owned(), "no \\\"model\\\""),
        (String::new(), "no \\\"model\\\""),
        ("\u{feff}{\"model\":\"qwen3\"}".to_owned(), "not one JSON object"),
    ];
    bodies.push((format!("{{\"x\":\"{}\"}}", "x".repeat(1_100_000)), "models.within"));
    for (body, words) in &bodies {
        for target in ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat"] {
            for request in [post(target, body), chunked(target, &[body, " "])] {
                if body.is_empty() && request.contains("chunked") {
                    continue;
                }
                let answer = proxy.ask(&request).await;
                assert!(matches!(answer.status(), 400 | 403 | 404), "{target} {}", answer.text());
                assert!(
                    answer.text().contains(words) && answer.text().contains("(rule: model)"),
                    "{}",
                    answer.text()
                );
                assert!(!answer.text().contains("xxxx"), "{}", answer.text());
            }
        }
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn compressed_body_is_refused_under_model_rules() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(only(&["*"])).start();
    let request = |coding: &str| {
        post("/v1/responses", "{\"model\":\"a\"}").replacen("\r\n", &format!("\r\n{coding}\r\n"), 1)
    };
    for coding in [
        "Content-Encoding: zstd",
        "Content-Encoding: identity\r\nContent-Encoding: gzip",
        "Content-Encoding:",
    ] {
        let answer = proxy.ask(&request(coding)).await;
        assert!(answer.status() == 400 && answer.text().contains("compressed"), "{coding} {}", answer.text());
    }
    assert!(ollama.untouched().await);
    let (url, _seen) = ollama.answering(OK);
    let proxy = Boundary::new(&url).policy(only(&["*"])).start();
    assert_eq!(proxy.ask(&request("content-encoding: Identity")).await.status(), 200);
}

#[tokio::test]
async fn second_model_later_in_the_body_keeps_the_request_incomplete() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(only(&["qwen3"])).start();
    for second in
        ["\"model\":\"b\"}", "\"Model\":\"b\"}", "\"m\\u006fdel\":\"b\"}", "\"x\":1}{\"model\":\"b\"}"]
    {
        let mut client = proxy.client().await;
        let head =
            "POST /api/chat HTTP/1.1\r\nHost: remote-ollama-proxy\r\nTransfer-Encoding: chunked\r\n\r\n";
        let first = "{\"model\":\"qwen3\",";
        client.send(format!("{head}{:x}\r\n{first}\r\n", first.len())).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        assert_eq!(
            upstream.chunk().await.unwrap(),
            first.as_bytes(),
            "what is known to be allowed is not held back"
        );
        client.send(format!("{:x}\r\n{second}\r\n0\r\n\r\n", second.len())).await;
        let answer = client.answer().await;
        assert!(answer.status() == 403 && answer.text().contains("(rule: model)"), "{}", answer.text());
        let rest = upstream.rest().await;
        assert!(!rest.contains(&b'}'), "{second}: {}", String::from_utf8_lossy(&rest));
    }
}

#[tokio::test]
async fn model_in_the_path_is_checked_without_reading_the_body() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(only(&["qwen3", "a:8b"])).start();
    for (path, status) in [
        ("/v1/models/qwen3", 200),
        ("/v1/models/Qwen3:latest", 200),
        ("/v1/models/a%3A8b", 200),
        ("/v1/models/a%3a8B", 200),
        ("/v1/models/a", 404),
        ("/v1/models/a:8b-cloud", 404),
        ("/v1/models/qwen3%3Acloud", 404),
        ("/v1/models/-", 404),
        ("/v1/models", 200),
        ("/api/tags", 200),
        ("/api/ps", 200),
    ] {
        assert_eq!(proxy.ask(&get(path)).await.status(), status, "{path}");
        if status == 200 {
            soon("the request", seen.recv()).await;
        }
    }
    let preflight = "OPTIONS /v1/models/other HTTP/1.1\r\nHost: remote-ollama-proxy\r\nOrigin: http://a\r\n\
        Access-Control-Request-Method: GET\r\n\r\n";
    assert_eq!(proxy.ask(preflight).await.status(), 200, "it asks for no model");
}

#[tokio::test]
async fn model_must_be_allowed_and_granted() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(only(&["qwen*", "a"])).start();
    let ask = async |model: &str| {
        let answer = proxy.ask(&post("/v1/messages", &format!("{{\"model\":\"{model}\"}}"))).await;
        (answer.status(), answer.text().to_owned())
    };
    proxy.grant(vec![json!({"models": ["qwen3:*", "b"]})]);
    assert_eq!(ask("qwen3:8b").await.0, 200);
    let (status, text) = ask("a").await;
    assert!(status == 404 && text.contains("the tailnet policy does not grant you the model"), "{text}");
    assert!(ask("b").await.1.contains("models.allow"));
    // Grants add up.
    proxy.grant(vec![json!({"models": ["qwen3:*"]}), json!({"models": ["A"]})]);
    assert_eq!((ask("a").await.0, ask("qwen3:1b").await.0, ask("qwen2").await.0), (200, 200, 404));
    // A faulty grant grants nothing.
    proxy.grant(vec![json!({"models": []})]);
    assert!(ask("a").await.1.contains("(rule: grant)"));
}

#[tokio::test]
async fn name_field_counts_as_model_at_show_only() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(only(&["a"])).start();
    for (target, body, status) in [
        ("/api/show", "{\"name\":\"a\"}", 200),
        ("/api/show", "{\"name\":\"b\"}", 403),
        ("/api/show", "{\"name\":\"b\",\"model\":\"a\"}", 200),
        ("/api/show", "{\"name\":\"a\",\"model\":\"b\"}", 403),
        ("/api/show", "{\"model\":\"\",\"name\":\"b\"}", 403),
        ("/api/chat", "{\"name\":\"a\"}", 403),
    ] {
        assert_eq!(proxy.ask(&post(target, body)).await.status(), status, "{target} {body}");
    }
}

#[tokio::test]
async fn answer_streams_without_delay_under_model_rules() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(only(&["*"])).start();
    let mut client = proxy.client().await;
    client.send(post("/v1/chat/completions", "{\"model\":\"a\"}")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.chunk().await.unwrap(), b"a");
    upstream.send("1\r\nb\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"b");
}

#[tokio::test]
async fn half_a_body_and_too_large_bodies_end_as_usual_under_model_rules() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(only(&["a"])).start();
    let mut client = proxy.client().await;
    client
        .send("POST /api/chat HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 90\r\n\r\n{\"mod")
        .await;
    proxy.has(1).await;
    drop(client);
    proxy.has(0).await;
    proxy.grant(vec![json!({"max_body": 20})]);
    let long = "{\"x\":\"0123456789\",\"model\":\"a\"}";
    assert_eq!(proxy.ask(&post("/api/chat", long)).await.status(), 413);
    assert_eq!(proxy.ask(&chunked("/api/chat", &[&long[..10], &long[10..]])).await.status(), 413);
    assert!(proxy.ask(&chunked("/api/chat", &["x\r\n"])).await.status() == 403);
    assert!(ollama.untouched().await);
}

/// Ollama's list of models, and its answer to `show`.
fn listing(show: &'static str) -> impl Fn(&str) -> String {
    let tags = json!({"models": [
        {"name": "here:latest", "model": "here:latest", "digest": "d1"},
        {"name": "alias:latest", "model": "alias:latest", "digest": "d2", "remote_host": "https://ollama.com:443", "remote_model": "x"},
        {"name": "Odd/Case:8B", "model": "Odd/Case:8B", "digest": "d1"},
    ]})
    .to_string();
    move |head| {
        let body = match head.split(' ').nth(1).unwrap() {
            "/api/tags" => tags.as_str(),
            "/api/show" => show,
            _ => "{}",
        };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

fn local_only() -> Policy {
    Policy {
        endpoints: EndpointSet::ALL,
        models: ModelRules { local_only: true, ..ModelRules::default() },
        ..policy()
    }
}

#[tokio::test]
async fn cloud_models_are_refused() {
    let (url, mut seen) = Ollama::new().await.answering_with(listing("{\"details\":{}}"));
    let proxy = Boundary::new(&url).policy(local_only()).start();
    for (model, words) in [
        ("here", ""),
        ("HERE:latest", ""),
        ("odd/case:8b", ""),
        ("x:cloud", "runs in the cloud"),
        ("here:cloud", "runs in the cloud"),
        ("here:8b-cloud", "runs in the cloud"),
        ("here:8b:Cloud", "runs in the cloud"),
        ("alias", "runs in the cloud"),
        ("Alias:Latest", "runs in the cloud"),
        ("absent", "is not on this machine"),
        ("here:8b", "is not on this machine"),
    ] {
        let answer = proxy.ask(&post("/v1/messages", &format!("{{\"model\":\"{model}\"}}"))).await;
        let wanted = if words.is_empty() { 200 } else { 404 };
        assert!(answer.status() == wanted && answer.text().contains(words), "{model} {}", answer.text());
    }
    // The model in a path, too.
    assert_eq!(proxy.ask(&get("/v1/models/here")).await.status(), 200);
    assert_eq!(proxy.ask(&get("/v1/models/alias")).await.status(), 404);
    // The details of a digest are requested once.
    let mut shown = 0;
    while let Ok(request) = seen.try_recv() {
        shown += u32::from(request.head.starts_with("POST /api/show"));
    }
    assert_eq!(shown, 1);
}

#[tokio::test]
async fn alias_of_a_cloud_model_is_refused() {
    let (url, _seen) = Ollama::new().await.answering_with(listing("{\"remote_model\":\"x\"}"));
    let proxy = Boundary::new(&url).policy(local_only()).start();
    let answer = proxy.ask(&post("/api/chat", "{\"model\":\"here\"}")).await;
    assert!(answer.status() == 403 && answer.text().contains("runs in the cloud"), "{}", answer.text());
}

#[tokio::test]
async fn unreadable_model_list_is_502() {
    for answer in
        ["HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]
    {
        let (url, mut seen) = Ollama::new().await.answering(answer);
        let proxy = Boundary::new(&url).policy(local_only()).start();
        let refused = proxy.ask(&post("/api/chat", "{\"model\":\"here\"}")).await;
        assert!(refused.status() == 502 && refused.text().contains("upstream-failed"), "{}", refused.text());
        assert!(soon("the question", seen.recv()).await.unwrap().head.starts_with("GET /api/tags "));
        assert!(seen.try_recv().is_err());
    }
    let (url, _seen) = Ollama::new().await.answering_with(listing("no JSON"));
    let proxy = Boundary::new(&url).policy(local_only()).start();
    assert_eq!(proxy.ask(&post("/api/chat", "{\"model\":\"here\"}")).await.status(), 502);
}
