//! Pages of other sites that send requests to the proxy: what the browser lets them read.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::real;
use crate::tailnet::World;

/// Sends a request from the open page; returns the status and body of the answer, or that there is none.
async fn ask(browser: &Browser, url: &str, body: &str) -> Value {
    let script = format!(
        r#"
        const asked = {{ method: "POST", headers: {{ "Content-Type": "application/json" }}, body: {} }};
        return fetch({}, asked).then(
          async answer => [answer.status, await answer.text()],
          error => [0, error.message],
        );
        "#,
        json!(body),
        json!(url),
    );
    browser.script(&script).await
}

/// The real Ollama decides by its own list: by default a page of this machine, and none by name.
#[tokio::test]
async fn only_an_allowed_origin_reads_a_refusal() {
    let world = World::new(real::url(), "limits.max_body = 500\nlimits.requests_per_minute = 4\n").await;
    let at = |path: &str| format!("http://remote-ollama-proxy:{}{path}", world.at.port());
    let url = at("/v1/chat/completions");
    let chat =
        |text: &str| json!({"model": "tiny", "messages": [{"role": "user", "content": text}]}).to_string();
    let (small, large) = (chat("hi"), chat(&"x".repeat(500)));
    let browser = Browser::new("remote-ollama-proxy").await;

    browser.go("about:blank").await;
    assert_eq!(ask(&browser, &url, &small).await[0], 0);

    browser.go(&browser.foreign()).await;
    // The preflight decides.
    let answer = ask(&browser, &url, &large).await;
    assert_eq!(answer[0], 413, "{answer}");
    assert!(answer[1].as_str().unwrap().contains("(rule: body-size)"), "{answer}");
    let mut answer = ask(&browser, &url, &small).await;
    assert_eq!(answer[0], 200, "{answer}");
    while answer[0] == 200 {
        answer = ask(&browser, &url, &small).await;
    }
    assert_eq!(answer[0], 429, "{answer}");
    assert!(answer[1].as_str().unwrap().contains("(rule: rate)"), "{answer}");

    browser.go("about:blank").await;
    assert_eq!(ask(&browser, &url, &large).await[0], 0);
}
