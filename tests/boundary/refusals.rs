//! The texts of refusals, which client libraries show to their users.

use remote_ollama_proxy::policy::{EndpointSet, ModelRules, Models, Policy};
use serde_json::Value;

use crate::support::*;

/// The message of a refusal in the dialect of OpenAI, Anthropic and Ollama.
fn message(answer: &Answer, dialect: &str) -> String {
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    let message = match dialect {
        "openai" => &json["error"]["message"],
        "anthropic" if json["type"] == "error" => &json["error"]["message"],
        "ollama" => &json["error"],
        _ => &Value::Null,
    };
    message.as_str().unwrap_or_else(|| panic!("not {dialect}: {json}")).to_owned()
}

#[tokio::test]
async fn wrong_base_url_is_answered_in_the_clients_dialect_with_the_right_path() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    for (method, path, rule, dialect, hint) in [
        (
            "POST",
            "/chat/completions",
            "allowlist",
            "openai",
            "the base URL must end in /v1: use /v1/chat/completions",
        ),
        ("POST", "/responses", "allowlist", "openai", "the base URL must end in /v1: use /v1/responses"),
        ("POST", "/completions", "allowlist", "openai", "the base URL must end in /v1: use /v1/completions"),
        ("POST", "/embeddings", "allowlist", "openai", "the base URL must end in /v1: use /v1/embeddings"),
        ("GET", "/models", "allowlist", "openai", "the base URL must end in /v1: use /v1/models"),
        ("GET", "/models?x=1", "allowlist", "openai", "the base URL must end in /v1: use /v1/models"),
        ("POST", "/messages", "allowlist", "anthropic", "the base URL must end in /v1: use /v1/messages"),
        ("POST", "/v1/v1/messages", "allowlist", "anthropic", "one /v1 too many: use /v1/messages"),
        (
            "POST",
            "/v1/v1/chat/completions",
            "allowlist",
            "openai",
            "one /v1 too many: use /v1/chat/completions",
        ),
        (
            "POST",
            "/v1/chat/completions/",
            "allowlist",
            "openai",
            "one slash too many: use /v1/chat/completions",
        ),
        ("POST", "/v1//chat/completions", "target", "openai", "one slash too many: use /v1/chat/completions"),
        ("POST", "//v1/messages", "target", "anthropic", "one slash too many: use /v1/messages"),
        ("POST", "/v1/api/chat", "allowlist", "ollama", "the base URL must not end in /v1: use /api/chat"),
        ("GET", "//api/tags", "target", "ollama", "one slash too many: use /api/tags"),
        ("GET", "/api/tags/", "allowlist", "ollama", "one slash too many: use /api/tags"),
    ] {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nContent-Length: 2\r\n\r\n{{}}");
        let answer = proxy.ask(&request).await;
        let text = message(&answer, dialect);
        assert_eq!(answer.status(), 403, "{path}: {text}");
        assert!(text.ends_with(&format!("{hint} (rule: {rule})")), "{path}: {text}");
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn websocket_for_responses_is_referred_to_http() {
    let ollama = Ollama::new().await;
    let proxy = Boundary::new(&ollama.url).start();
    let ask = |method: &str, path: &str, headers: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{headers}\r\n")
    };
    let websocket = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut client = proxy.client().await;
    client.send(ask("GET", "/v1/responses", websocket)).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 426);
    assert_eq!((answer.header("upgrade"), answer.header("connection")), (Some("HTTP/1.1"), Some("Upgrade")));
    assert!(message(&answer, "openai").ends_with("(rule: websocket)"), "{}", answer.text());
    // The connection serves the next request.
    client.send(ask("GET", "/v1/nothing", "")).await;
    assert_eq!(client.answer().await.status(), 403);

    for (method, path, headers, status) in [
        ("GET", "/v1/responses", "", 405),
        ("GET", "/v1/responses", "Upgrade: websocket\r\n", 405),
        ("GET", "/v1/responses", "Connection: Upgrade\r\nUpgrade: h2c\r\n", 405),
        ("PUT", "/v1/responses", websocket, 405),
        ("GET", "/v1/chat/completions", websocket, 405),
        ("GET", "/v1/embeddings", websocket, 403),
    ] {
        let answer = proxy.ask(&ask(method, path, headers)).await;
        assert_eq!(answer.status(), status, "{method} {path} {headers}");
    }
    let off = Policy { endpoints: EndpointSet::EMPTY, ..policy() };
    let proxy = Boundary::new(&ollama.url).policy(off).start();
    assert_eq!(proxy.ask(&ask("GET", "/v1/responses", websocket)).await.status(), 403);
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn refused_model_is_404_for_clients_that_read_403_as_a_login_problem() {
    let ollama = Ollama::new().await;
    let allow = Some(Models::of(vec![Models::pattern("qwen3").unwrap()]));
    let models = ModelRules { allow, ..ModelRules::default() };
    let proxy =
        Boundary::new(&ollama.url).policy(Policy { endpoints: EndpointSet::ALL, models, ..policy() }).start();
    let (other, two) = (r#"{"model":"other"}"#, r#"{"model":"qwen3","model":"other"}"#);
    for (path, dialect, body, status, kind, code) in [
        ("/v1/messages", "anthropic", other, 404, "not_found_error", ""),
        ("/v1/messages", "anthropic", two, 400, "invalid_request_error", ""),
        ("/v1/chat/completions", "openai", other, 404, "not_found_error", "model_not_found"),
        ("/v1/responses", "openai", other, 404, "not_found_error", "model_not_found"),
        ("/v1/embeddings", "openai", two, 400, "invalid_request_error", "model"),
        ("/api/chat", "ollama", other, 403, "", ""),
        ("/api/show", "ollama", other, 403, "", ""),
        ("/api/generate", "ollama", two, 403, "", ""),
    ] {
        let answer = proxy.ask(&post(path, body)).await;
        assert_eq!(answer.status(), status, "{path} {body}: {}", answer.text());
        let text = message(&answer, dialect);
        assert!(text.ends_with("(rule: model)"), "{path}: {text}");
        let json: Value = serde_json::from_slice(&answer.body).unwrap();
        if !kind.is_empty() {
            assert_eq!(json["error"]["type"], kind, "{path}");
        }
        if !code.is_empty() {
            assert_eq!(json["error"]["code"], code, "{path}");
        }
    }
    let answer = proxy.ask(&get("/v1/models/other")).await;
    assert_eq!(answer.status(), 404, "{}", answer.text());
    assert!(ollama.untouched().await);
}
