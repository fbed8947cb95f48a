//! Quotas: the refusal, and what clients are told of what is left.

use std::time::SystemTime;

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::policy::{EndpointSet, Policy, Quotas};
use serde_json::json;

use crate::support::*;

const TOLD: &str = r#"{"usage":{"prompt_tokens":11,"completion_tokens":5}}"#;

const REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: [&str; 3] =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

fn limited(url: &str, quotas: Quotas) -> Running {
    let limits = Limits { quotas, ..Limits::NONE };
    Boundary::new(url).policy(Policy { endpoints: EndpointSet::ALL, ..policy() }).limits(limits).start()
}

fn answer(more: &str) -> String {
    let length = TOLD.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n{TOLD}"
    )
}

/// Seconds in a duration such as `26h0m5s`.
fn seconds(text: &str) -> u64 {
    let mut rest = text;
    let mut sum = 0;
    for (unit, worth) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            sum += number.parse::<u64>().unwrap() * worth;
            rest = after;
        }
    }
    assert!(rest.is_empty(), "{text}");
    sum
}

#[tokio::test]
async fn spent_requests_refuse_until_the_window_ends() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| answer(""));
    let proxy = limited(&url, Quotas { requests_per_week: Some(3), ..Quotas::NONE });
    proxy.grant(vec![json!({"requests_per_day": 2, "requests_per_minute": 100})]);
    for left in ["1", "0"] {
        let passed = proxy.ask(&get("/v1/models")).await;
        // Of the day there is less left than of the week.
        assert_eq!((passed.status(), passed.header(REQUESTS[0])), (200, Some("2")));
        assert_eq!(passed.header(REQUESTS[1]), Some(left));
        assert!((1..=86_400).contains(&seconds(passed.header(REQUESTS[2]).unwrap())));
        assert!(TOKENS.iter().all(|name| passed.header(name).is_none()));
    }
    let refused = proxy.ask(&get("/v1/models")).await;
    let text = refused.text();
    assert_eq!(refused.status(), 429);
    for part in ["2 requests a day (requests_per_day)", "used 2", "next day begins at", "(rule: requests)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(wait.abs_diff(seconds(refused.header(REQUESTS[2]).unwrap())) <= 2);
    assert_eq!(refused.header(REQUESTS[1]), Some("0"));

    // A larger grant applies at once, and what is spent stays. The config bounds it.
    proxy.grant(vec![json!({"requests_per_day": 9})]);
    let passed = proxy.ask(&get("/v1/models")).await;
    assert_eq!((passed.status(), passed.header(REQUESTS[1])), (200, Some("0")));
    let refused = proxy.ask(&get("/v1/models")).await;
    assert!(refused.text().contains("(requests_per_week)"), "{}", refused.text());
}

#[tokio::test]
async fn tokens_left_are_told_in_the_form_of_each_api() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| answer(""));
    let proxy = limited(&url, Quotas { tokens_per_month: Some(100), ..Quotas::NONE });
    let passed = proxy.ask(&post("/v1/chat/completions", "{}")).await;
    assert_eq!((passed.header(TOKENS[0]), passed.header(TOKENS[1])), (Some("100"), Some("100")));
    assert!(REQUESTS.iter().all(|name| passed.header(name).is_none()));
    // Tokens are counted when the answer ends at the proxy.
    let passed = found("a count", async || {
        Some(proxy.ask(&get("/api/tags")).await).filter(|answer| answer.header(TOKENS[1]) == Some("84"))
    })
    .await;
    assert!((1..=31 * 86_400).contains(&seconds(passed.header(TOKENS[2]).unwrap())));
    let passed = proxy.ask(&post("/v1/messages", "{}")).await;
    let of = |name: &str| passed.header(&format!("anthropic-ratelimit-tokens-{name}"));
    assert_eq!((of("limit"), of("remaining")), (Some("100"), Some("84")));
    let reset: jiff::Timestamp = of("reset").unwrap().parse().unwrap();
    assert!(reset > jiff::Timestamp::try_from(SystemTime::now()).unwrap());
    assert!(TOKENS.iter().all(|name| passed.header(name).is_none()));
}

#[tokio::test]
async fn headers_of_ollama_and_of_cors_stay() {
    let more = "x-ratelimit-remaining-requests: 77\r\nAccess-Control-Allow-Origin: http://localhost\r\n\
        Access-Control-Expose-Headers: x-other\r\n";
    let (url, _seen) = Ollama::new().await.answering_with(move |_| answer(more));
    let quotas = Quotas { requests_per_day: Some(5), tokens_per_day: Some(9), ..Quotas::NONE };
    let proxy = limited(&url, quotas);
    let passed = proxy.ask(&get("/v1/models")).await;
    assert_eq!(passed.header(REQUESTS[1]), Some("77"));
    assert!(passed.header(REQUESTS[0]).is_none() && passed.header(REQUESTS[2]).is_none());
    assert_eq!(passed.header(TOKENS[1]), Some("9"));
    assert_eq!(passed.header("access-control-allow-origin"), Some("http://localhost"));
    assert_eq!(passed.header("access-control-expose-headers"), Some("x-other"));

    // A preflight counts towards no quota and shows none.
    let preflight = "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\
        Origin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    for _ in 0..9 {
        let passed = proxy.ask(preflight).await;
        assert!(passed.status() == 200 && passed.header(TOKENS[1]).is_none(), "{passed:?}");
    }
}

#[tokio::test]
async fn identity_without_a_quota_is_told_nothing() {
    let (url, _seen) = Ollama::new().await.answering_with(|_| answer(""));
    let proxy = limited(&url, Quotas::NONE);
    for grants in [vec![], vec![json!({"tokens_per_day": 1, "requests_per_day": 1}), json!({})]] {
        proxy.grant(grants);
        for request in [post("/v1/messages", "{}"), get("/v1/models")] {
            let passed = proxy.ask(&request).await;
            assert_eq!(passed.status(), 200);
            assert!(!format!("{passed:?}").contains("ratelimit"), "{passed:?}");
        }
    }
}
