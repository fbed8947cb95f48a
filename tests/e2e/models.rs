//! Rules about models, with the real Ollama behind them.

use serde_json::{Value, json};

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

/// Each endpoint that is on by default and names a model in its body.
fn requests(model: &str) -> [String; 4] {
    let messages = json!([{"role": "user", "content": "hi"}]);
    [
        post("/v1/chat/completions", &json!({"messages": messages, "model": model}).to_string()),
        post("/v1/responses", &json!({"input": "hi", "model": model}).to_string()),
        post("/v1/messages", &json!({"max_tokens": 50, "messages": messages, "model": model}).to_string()),
        post("/api/show", &json!({"model": model}).to_string()),
    ]
}

#[tokio::test]
async fn only_allowed_models_pass() {
    let world = World::new(ollama::url(), "models.allow = [\"tin*\"]\nmodels.cloud = \"deny\"\n").await;
    for model in ["tiny", "Tiny:latest", "registry.ollama.ai/library/tiny"] {
        for request in requests(model) {
            let answer = world.ask(&request).await;
            assert_eq!(answer.status(), 200, "{model} {}", answer.text());
        }
    }
    for (model, words) in [
        ("slow", "models.allow"),
        ("tiny:cloud", "runs in the cloud"),
        ("tiny:1b-cloud", "runs in the cloud"),
        ("tinier", "is not on this machine"),
    ] {
        for request in requests(model) {
            let answer = world.ask(&request).await;
            // Ollama's own command line reads 404 as a model to pull.
            let status = if request.starts_with("POST /api/") { 403 } else { 404 };
            assert_eq!(answer.status(), status, "{model} {}", answer.text());
            assert!(
                answer.text().contains(words) && answer.text().contains("(rule: model)"),
                "{}",
                answer.text()
            );
        }
    }
    assert_eq!(world.ask(&get("/v1/models/tiny")).await.status(), 200);
    assert_eq!(world.ask(&get("/v1/models/slow")).await.status(), 404);

    let logged = found("the records", async || {
        let output = world.proxy.process.output();
        let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let records: Vec<Value> = lines.filter(|record| record["target"] == "access").collect();
        Some(records).filter(|records| records.len() == 30)
    })
    .await;
    let refused = |record: &&Value| record["rule"] == "model";
    assert_eq!(logged.iter().filter(refused).count(), 17);
    for record in &logged {
        assert_eq!(record["model"].is_string(), refused(&record), "{record}");
    }
}
