//! Multipart bodies: they pass untouched without model rules, and are refused where a model rule applies. Also the answers
//! of the endpoints that report no tokens.

use remote_ollama_proxy::policy::{EndpointSet, ModelRules, Models, Policy};
use serde_json::{Value, json};

use crate::support::*;

const AUDIO: &str = "/v1/audio/transcriptions";

/// A form with a model, and a file that is neither JSON nor UTF-8.
const FORM: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n--b\r\nContent-Disposition: form-data; \
    name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\x00\xff{\"model\":\"other\"}\r\n--b--\r\n";

fn everything(models: ModelRules) -> Policy {
    Policy { endpoints: EndpointSet::ALL, models, ..policy() }
}

fn only_tiny() -> ModelRules {
    let tiny = Models::of(vec![Models::pattern("tiny").unwrap()]);
    ModelRules { allow: Some(tiny), ..ModelRules::default() }
}

fn head(target: &str, kind: &str, length: usize) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{kind}Content-Length: {length}\r\n\r\n")
        .into_bytes()
}

const MULTIPART: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

#[tokio::test]
async fn multipart_body_passes_untouched_and_unbuffered_without_model_rules() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(everything(ModelRules::default())).start();
    let mut client = proxy.client().await;
    let (first, second) = FORM.split_at(50);
    let chunk = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    client
        .send(format!(
            "POST {AUDIO}?model=tiny HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{MULTIPART}Transfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
    client.send(chunk(first)).await;
    // The first part arrives while the client has not sent the second one.
    let mut upstream = ollama.accept().await;
    let arrived = upstream.head().await.unwrap();
    assert!(arrived.starts_with("POST /v1/audio/transcriptions?model=tiny HTTP/1.1\r\n"), "{arrived}");
    assert_eq!(header(&arrived, "content-type"), Some("multipart/form-data; boundary=b"));
    assert_eq!(upstream.chunk().await.unwrap(), first);
    client.send([chunk(second), chunk(b"")].concat()).await;
    assert_eq!(upstream.chunk().await.unwrap(), second);
    assert_eq!(upstream.chunk().await.unwrap(), b"");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn multipart_body_is_refused_where_a_model_rule_applies() {
    let ollama = Ollama::new().await;
    let local_only = ModelRules { local_only: true, ..ModelRules::default() };
    for (models, grant) in
        [(only_tiny(), json!({})), (local_only, json!({})), (ModelRules::default(), json!({"models": ["*"]}))]
    {
        let proxy = Boundary::new(&ollama.url).policy(everything(models)).start();
        proxy.grant(vec![grant]);
        for (target, status, code) in [
            (AUDIO, 400, "/error/code"),
            ("/v1/audio/transcriptions?model=tiny", 400, "/error/code"),
            ("/v1/images/edits", 400, "/error/code"),
            ("/v1/chat/completions", 400, "/error/code"),
            ("/v1/messages", 400, ""),
            ("/api/chat", 403, ""),
            ("/api/show", 403, ""),
        ] {
            for kind in
                [MULTIPART, "Content-Type: Multipart/Mixed\r\n", "Content-Type:   multipart/x ; y\r\n"]
            {
                let request = [&head(target, kind, FORM.len())[..], FORM].concat();
                let answer = proxy.ask(&request).await;
                assert_eq!(answer.status(), status, "{target} {kind}");
                assert!(
                    answer.text().contains("multipart") && answer.text().contains("(rule: model)"),
                    "{}",
                    answer.text()
                );
                let json: Value = serde_json::from_slice(&answer.body).unwrap();
                assert!(code.is_empty() || json.pointer(code) == Some(&"model".into()), "{json}");
            }
        }
    }
    assert!(ollama.untouched().await);
}

/// Ollama takes the model from the query before it looks at the form, so a body of another type names no certain model.
#[tokio::test]
async fn transcription_is_refused_where_a_model_rule_applies_whatever_its_body() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(everything(only_tiny())).start();
    let body = r#"{"model":"tiny"}"#;
    for target in [AUDIO, "/v1/audio/transcriptions?model=tiny"] {
        for kind in
            ["", "Content-Type: application/json\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"]
        {
            let request = [&head(target, kind, body.len())[..], body.as_bytes()].concat();
            let answer = proxy.ask(&request).await;
            assert!(answer.status() == 400 && answer.text().contains("(rule: model)"), "{}", answer.text());
        }
    }
    assert!(ollama.untouched().await);
}

/// curl declares this type for JSON, and Ollama ignores it.
#[tokio::test]
async fn json_of_another_declared_type_passes_a_model_rule() {
    let (url, mut seen) = Ollama::new().await.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let proxy = Boundary::new(&url).policy(everything(only_tiny())).start();
    let body = r#"{"prompt":"a cat","model":"tiny"}"#;
    for target in
        ["/v1/images/generations", "/v1/images/edits", "/v1/responses/compact", "/v1/chat/completions"]
    {
        for kind in
            ["", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: text/plain\r\n"]
        {
            let request = [&head(target, kind, body.len())[..], body.as_bytes()].concat();
            assert_eq!(proxy.ask(&request).await.status(), 200, "{target} {kind}");
            assert_eq!(soon("the request", seen.recv()).await.unwrap().text(), body);
        }
    }
}

#[tokio::test]
async fn new_endpoints_are_off_by_default() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for (target, key) in [
        (AUDIO, "v1_audio_transcriptions"),
        ("/v1/images/generations", "v1_images_generations"),
        ("/v1/images/edits", "v1_images_edits"),
        ("/v1/responses/compact", "v1_responses_compact"),
    ] {
        let answer = proxy.ask(&[&head(target, MULTIPART, FORM.len())[..], FORM].concat()).await;
        let json: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status(), &json["error"]["code"]), (403, &"endpoint-off".into()));
        assert!(
            json["error"]["message"].as_str().unwrap().contains(&format!("endpoints.{key} = true")),
            "{json}"
        );
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn upload_above_the_limit_is_refused() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(everything(ModelRules::default())).start();
    proxy.grant(vec![json!({"max_body": FORM.len() - 1})]);
    let answer = proxy.ask(&[&head(AUDIO, MULTIPART, FORM.len())[..], FORM].concat()).await;
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status(), &json["error"]["code"]), (413, &"body-size".into()));
    assert!(ollama.untouched().await);
}

/// The text of a transcription and an image are one JSON value without counts.
#[tokio::test]
async fn answer_of_an_endpoint_that_reports_no_tokens_is_charged_by_its_size() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| {
        let body = format!("{{\"text\":\"{}\"}}", "x".repeat(1589));
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    for (target, calls) in
        [(AUDIO, 2), ("/v1/images/generations", 2), ("/v1/images/edits", 2), ("/v1/responses/compact", 101)]
    {
        let proxy = Boundary::new(&url).policy(everything(ModelRules::default())).usage(true).start();
        // 1600 bytes are 100 tokens; where an answer should report them, each value is one.
        proxy.grant(vec![json!({"tokens_per_day": 101})]);
        for _ in 0..calls {
            let answer = proxy.ask(&[&head(target, MULTIPART, FORM.len())[..], FORM].concat()).await;
            assert_eq!(answer.status(), 200, "{target}");
            proxy.has(0).await;
        }
        let refused = proxy.ask(&[&head(target, MULTIPART, FORM.len())[..], FORM].concat()).await;
        assert!(
            refused.status() == 429 && refused.text().contains("(rule: tokens)"),
            "{target}: {}",
            refused.text()
        );
        let untold = format!(
            "remote_ollama_proxy_tokens_untold_total{{route=\"{}\"}} {calls}",
            target[1..].replace('/', "_")
        );
        eventually("the answers without counts", async || proxy.counted().contains(&untold)).await;
    }
}
