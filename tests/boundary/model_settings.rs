//! Rules about `keep_alive` and the options that reload a model: where they are denied, Ollama never gets a whole body
//! with one of them.

use remote_ollama_proxy::policy::{EndpointSet, ModelRules, Policy};
use serde_json::json;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// The endpoints at which Ollama takes the settings.
const TAKING: [&str; 4] = ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"];

/// Bodies with a setting, and what the refusal says.
const SETTINGS: [(&str, &str, &str); 8] = [
    ("{\"model\":\"a\",\"keep_alive\":0}", "\\\"keep_alive\\\"", "keep-alive"),
    ("{\"Keep_Alive\":\"1h\",\"model\":\"a\"}", "\\\"keep_alive\\\"", "keep-alive"),
    ("{\"\u{212a}eep_alive\":0}", "\\\"keep_alive\\\"", "keep-alive"),
    ("{\"keep_alive\":\"5m\",\"keep_alive\":null}", "\\\"keep_alive\\\"", "keep-alive"),
    ("{\"model\":\"a\",\"options\":{\"seed\":1,\"num_ctx\":8192}}", "\\\"num_ctx\\\"", "load-options"),
    ("{\"options\":{},\"option\u{17f}\":{\"num_gpu\":0}}", "\\\"num_gpu\\\"", "load-options"),
    ("{\"\\u006fptions\":{\"num\\u005fthread\":1}}", "\\\"num_thread\\\"", "load-options"),
    ("{\"model\":\"a\",\"messages\":[],\"shift\":false}", "\\\"shift\\\"", "load-options"),
];

fn denying(keep_alive: bool, load_options: bool) -> Policy {
    let models = ModelRules { keep_alive: !keep_alive, load_options: !load_options, ..ModelRules::default() };
    Policy { endpoints: EndpointSet::ALL, models, ..policy() }
}

#[tokio::test]
async fn settings_are_allowed_by_default() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(denying(false, false)).start();
    for target in TAKING {
        for (body, _, _) in SETTINGS {
            assert_eq!(proxy.ask(&post(target, body)).await.status(), 200, "{target} {body}");
            assert_eq!(soon("the request", seen.recv()).await.unwrap().body, body.as_bytes());
        }
    }
}

#[tokio::test]
async fn denied_setting_is_refused_with_the_key_and_the_way_out() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(denying(true, true)).start();
    for target in TAKING {
        for (body, key, rule) in SETTINGS {
            let answer = proxy.ask(&post(target, body)).await;
            let text = answer.text();
            assert_eq!(answer.status(), 403, "{target} {body} {text}");
            assert!(text.contains("requests may not set "), "{text}");
            for part in [key, &format!("(rule: {rule})"), &format!("models.{} = ", rule.replace('-', "_"))] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
    assert!(seen.try_recv().is_err(), "Ollama got a whole body");
}

#[tokio::test]
async fn each_setting_has_a_right_of_its_own() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let status = async |keep_alive, load_options| {
        let proxy = Boundary::new(&url).policy(denying(keep_alive, load_options)).start();
        let mut statuses = Vec::new();
        for (body, _, _) in [SETTINGS[0], SETTINGS[4]] {
            statuses.push(proxy.ask(&post("/api/chat", body)).await.status());
        }
        statuses
    };
    assert_eq!(status(true, false).await, [403, 200]);
    assert_eq!(status(false, true).await, [200, 403]);
}

#[tokio::test]
async fn grant_denies_settings_and_several_grants_add_up() {
    let (url, _seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(denying(false, false)).start();
    let ask = async |(body, _, _): (&str, &str, &str)| proxy.ask(&post("/api/generate", body)).await;
    let (keep_alive, num_ctx) = (SETTINGS[0], SETTINGS[4]);
    proxy.grant(vec![json!({"keep_alive": false})]);
    let answer = ask(keep_alive).await;
    let text = answer.text();
    assert_eq!(answer.status(), 403, "{text}");
    assert!(text.contains("\\\"keep_alive\\\": false from your grant (rule: keep-alive)"), "{text}");
    assert_eq!(ask(num_ctx).await.status(), 200);
    proxy.grant(vec![json!({"keep_alive": false}), json!({"endpoints": ["api_tags"]})]);
    assert_eq!(ask(keep_alive).await.status(), 200);
    proxy.grant(vec![json!({"load_options": false}), json!({"load_options": false, "keep_alive": false})]);
    assert_eq!((ask(keep_alive).await.status(), ask(num_ctx).await.status()), (200, 403));
}

#[tokio::test]
async fn bodies_without_a_denied_setting_pass_byte_for_byte_and_whatever_their_model() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(denying(true, true)).start();
    let late = format!("{{\"messages\":[\"{}\"],\"model\":\"a\"}}", "x".repeat(1_100_000));
    for body in [
        "{\"model\":\"a\",\"options\":{\"temperature\":0.5,\"num_predict\":1,\"stop\":[\"}\"]}}",
        "{\"prompt\":\"keep_alive num_ctx\",\"messages\":[{\"keep_alive\":0}],\"num_ctx\":1}",
        "{\"model\":\"a\",\"model\":\"b\"}",
        "{}",
        "",
        &late,
    ] {
        for target in TAKING {
            assert_eq!(proxy.ask(&post(target, body)).await.status(), 200, "{target}");
            assert!(soon("the request", seen.recv()).await.unwrap().body == body.as_bytes());
        }
    }
    let answer = proxy.ask(&post("/api/chat", "[]")).await;
    assert!(answer.status() == 403 && answer.text().contains("not one JSON object"), "{}", answer.text());
}

#[tokio::test]
async fn other_endpoints_are_not_read_for_the_settings() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Boundary::new(&url).policy(denying(true, true)).start();
    for target in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/api/show", "/v1/images/edits"]
    {
        for body in [SETTINGS[0].0, "no JSON"] {
            assert_eq!(proxy.ask(&post(target, body)).await.status(), 200, "{target}");
            assert_eq!(soon("the request", seen.recv()).await.unwrap().body, body.as_bytes());
        }
    }
}

#[tokio::test]
async fn setting_at_the_end_of_a_body_keeps_the_request_incomplete() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).policy(denying(true, true)).start();
    for last in ["\"keep_alive\":0}", "\"options\":{\"num_ctx\":1}}"] {
        let mut client = proxy.client().await;
        let first = "{\"model\":\"a\",\"messages\":[],";
        let head =
            "POST /api/chat HTTP/1.1\r\nHost: remote-ollama-proxy\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{:x}\r\n{first}\r\n", first.len())).await;
        let mut upstream = ollama.accept().await;
        upstream.head().await.unwrap();
        assert_eq!(upstream.chunk().await.unwrap(), first.as_bytes());
        client.send(format!("{:x}\r\n{last}\r\n0\r\n\r\n", last.len())).await;
        assert_eq!(client.answer().await.status(), 403);
        assert!(!upstream.rest().await.contains(&b'}'), "{last}");
    }
}
