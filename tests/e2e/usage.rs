//! Token counts of the real Ollama, in the access log.

use serde_json::{Value, json};

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

const CONFIG: &str = "metrics.usage = true\nendpoints.api_chat = true\nendpoints.api_generate = true\n\
    endpoints.api_embed = true\nendpoints.v1_completions = true\n";

#[tokio::test]
async fn tokens_of_every_api_are_recorded() {
    let world = World::new(ollama::url(), CONFIG).await;
    let messages = json!([{"role": "user", "content": "hi"}]);
    let asked = json!({"include_usage": true});
    let requests = [
        ("/v1/chat/completions", json!({"messages": messages})),
        ("/v1/completions", json!({"prompt": "hi"})),
        ("/v1/responses", json!({"input": "hi"})),
        ("/v1/messages", json!({"messages": messages, "max_tokens": 50})),
        ("/api/chat", json!({"messages": messages})),
        ("/api/generate", json!({"prompt": "hi"})),
    ];
    let mut sent = 0;
    for (path, body) in &requests {
        for stream in [false, true] {
            let mut body = body.clone();
            body["model"] = json!("tiny");
            body["stream"] = json!(stream);
            if stream && matches!(*path, "/v1/chat/completions" | "/v1/completions") {
                body["stream_options"] = asked.clone();
            }
            let answer = world.ask(&post(path, &body.to_string())).await;
            assert_eq!(answer.status(), 200, "{path} {}", answer.text());
            sent += 1;
        }
    }
    // A stream of OpenAI's API that was not asked for its usage.
    let silent = json!({"model": "tiny", "messages": messages, "stream": true});
    assert_eq!(world.ask(&post("/v1/chat/completions", &silent.to_string())).await.status(), 200);
    sent += 1;

    let records = found("the records", async || {
        let output = world.proxy.process.output();
        let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let records: Vec<Value> = lines.filter(|record| record["target"] == "access").collect();
        Some(records).filter(|records| records.len() == sent)
    })
    .await;
    let (silent, counted) = records.split_last().unwrap();
    assert!(silent["tokens_in"].is_null() && silent["tokens_out"].is_null(), "{silent}");
    // The same prompt and answer by every API; `generate` has no conversation around the prompt.
    for record in counted {
        let (first, route) = (&counted[0], &record["endpoint"]);
        let plain = route == "v1_completions" || route == "api_generate";
        assert!(
            record["tokens_in"].as_u64() > Some(0) && record["tokens_out"].as_u64() > Some(0),
            "{record}"
        );
        if !plain {
            assert_eq!(
                (&record["tokens_in"], &record["tokens_out"]),
                (&first["tokens_in"], &first["tokens_out"]),
                "{record}"
            );
        }
    }
}

/// Asks for `model` until it is counted, since no request waits for Ollama's list.
async fn counted(world: &World, model: &str) {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    eventually("usage of the model", async || {
        assert_eq!(world.ask(&post("/v1/chat/completions", &body)).await.status(), 200);
        let metrics = world.admin("GET", "/metrics").await;
        metrics.text().contains("model_requests_total{model=\"tiny:latest\"}")
    })
    .await;
}

#[tokio::test]
async fn usage_is_counted_by_the_models_of_ollamas_list() {
    let mut world = World::new(ollama::url(), CONFIG).await;
    counted(&world, "tiny").await;
    let asked = || async {
        let metrics = world.admin("GET", "/metrics").await;
        let of = |name: &str| {
            let line = format!("remote_ollama_proxy_model_{name}{{model=\"tiny:latest\"}} ");
            metrics.text().lines().find_map(|text| text.strip_prefix(&line)?.parse::<u64>().ok()).unwrap()
        };
        (of("requests_total"), of("tokens_in_total"), of("tokens_out_total"))
    };
    let before = asked().await;
    let messages = json!([{"role": "user", "content": "hi"}]);
    for (path, name, body) in [
        ("/v1/chat/completions", "Tiny:latest", json!({"messages": messages})),
        ("/v1/responses", "registry.ollama.ai/library/tiny", json!({"input": "hi"})),
        ("/v1/messages", "tiny", json!({"messages": messages, "max_tokens": 50})),
        ("/api/generate", "tiny", json!({"prompt": "hi"})),
        ("/api/show", "tiny", json!({})),
    ] {
        let mut body = body;
        body["model"] = json!(name);
        let answer = world.ask(&post(path, &body.to_string())).await;
        assert_eq!(answer.status(), 200, "{path} {}", answer.text());
    }
    assert_eq!(world.ask(&get("/v1/models/tiny")).await.status(), 200);
    let unknown = json!({"model": "my-secret", "messages": messages}).to_string();
    assert_eq!(world.ask(&post("/v1/chat/completions", &unknown)).await.status(), 404);
    eventually("the count", async || asked().await.0 == before.0 + 6).await;
    let after = asked().await;
    assert!(after.1 > before.1 && after.2 > before.2, "{before:?} {after:?}");
    let metrics = world.admin("GET", "/metrics").await;
    crate::metrics::checked(&metrics.body);
    assert!(metrics.text().contains("model_requests_total{model=\"other\"}"), "{}", metrics.text());

    // The access log has the same names, and `report` sums them up.
    eventually("the report", async || {
        let told = world.run("report", &["--format", "json"]).await.stdout;
        let told: Value = serde_json::from_slice(&told).unwrap();
        let mut models = told["models"].as_array().unwrap().iter();
        let tiny = models.find(|used| used["model"] == "tiny:latest").unwrap_or(&Value::Null);
        [&tiny["requests"], &tiny["tokens_in"], &tiny["tokens_out"]]
            == [&json!(after.0), &json!(after.1), &json!(after.2)]
    })
    .await;
    world.proxy.process.line(&["\"access\"", "\"model\":\"other\""]).await;
    let output = world.proxy.process.output();
    assert!(!output.contains("my-secret") && !metrics.text().contains("my-secret"), "{output}");
}
