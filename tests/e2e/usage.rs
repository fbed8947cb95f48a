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
