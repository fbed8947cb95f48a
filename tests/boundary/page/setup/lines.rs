//! The lines of the set-up and the models in them.

use remote_ollama_proxy::policy::{Endpoint, EndpointSet, ModelRules, Models};
use serde_json::json;

use super::*;

/// A list of models with hostile names, one that makes embeddings only, and two that run elsewhere.
const NAMES: [&str; 8] = [
    "<img src=x onerror=alert(1)>",
    "\u{1b}[2Jrm -rf\n~",
    "$(reboot)",
    "embedder:latest",
    "qwen3:8b",
    "gemma3:4b",
    "remote:latest",
    "gpt-oss:20b-cloud",
];

#[tokio::test]
async fn lines_are_limited_to_what_the_peer_may_ask() {
    let (url, _targets) = ollama_with(&["qwen3:8b"]).await;
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", &url)]);
    let everything = text(&site, "/setup").await;
    assert!(
        everything.contains("# Ollama at remote-ollama-proxy: http://remote-ollama-proxy:11434\n"),
        "{everything}"
    );
    assert!(everything.contains("\n  -d '{\"model\": \"qwen3:8b\", "), "{everything}");
    for client in
        ["curl", "Anthropic SDKs", "Claude Code", "Codex", "opencode", "Continue", "VS Code", "Open WebUI"]
    {
        assert!(everything.contains(&format!("\n# {client}\n")), "{client}: {everything}");
    }
    assert!(!everything.contains("not open to you") && !everything.contains('<'), "{everything}");

    running.grant(vec![json!({"endpoints": ["v1_messages", "v1_responses"]})]);
    let off = Endpoint::named("v1_responses").unwrap();
    running.change(|rules| rules.policy.endpoints = EndpointSet::default().with(off, false));
    let some = text(&site, "/setup").await;
    assert!(some.contains("\n# Claude Code\n") && some.contains("ANTHROPIC_MODEL=MODEL claude\n"), "{some}");
    let codex = "# Codex: not open to you\n# v1_responses: this endpoint is off here; ask the operator to set endpoints.v1_responses = true\n";
    assert!(some.contains(codex) && !some.contains("wire_api"), "{some}");
    assert!(
        some.contains(
            "# curl: not open to you\n# v1_chat_completions: the tailnet policy does not grant you"
        ),
        "{some}"
    );
    // It may not list the models, so it does not learn them here.
    assert!(some.contains("# You may not list the models.") && !some.contains("qwen3"), "{some}");
}

#[tokio::test]
async fn models_are_those_that_the_rules_allow_the_peer() {
    let (url, _targets) = ollama_with(&NAMES).await;
    let patterns = |all: &[&str]| Models::of(all.iter().map(|p| Models::pattern(p).unwrap()).collect());
    let all = ModelRules::default();
    let local = ModelRules { local_only: true, ..ModelRules::default() };
    let gemma = ModelRules { allow: Some(patterns(&["gemma*", "embedder"])), ..ModelRules::default() };
    for (rules, grant, shown, chosen) in [
        (&all, json!({}), &NAMES[3..], "qwen3:8b"),
        (&all, json!({"models": ["gemma3:*", "remote"]}), &["gemma3:4b", "remote:latest"][..], "gemma3:4b"),
        (&local, json!({}), &["embedder:latest", "qwen3:8b", "gemma3:4b"], "qwen3:8b"),
        (&gemma, json!({}), &["embedder:latest", "gemma3:4b"], "gemma3:4b"),
        (&gemma, json!({"models": ["embedder"]}), &["embedder:latest"], "embedder:latest"),
        (&gemma, json!({"models": ["qwen3:8b"]}), &[], "MODEL"),
    ] {
        let running = Boundary::new(NO_OLLAMA).grants(vec![grant.clone()]).start();
        running.change(|to| to.policy.models = rules.clone());
        let site = Site::with(&running, &[ON, ("upstream.url", &url)]);
        let text = text(&site, "/setup.txt").await;
        for name in &NAMES[3..] {
            assert_eq!(
                text.contains(&format!("#   {name}")),
                shown.contains(name),
                "{grant}: {name}: {text}"
            );
        }
        assert!(text.contains(&format!("ANTHROPIC_MODEL={chosen} claude\n")), "{grant}: {text}");
        assert_eq!(text.contains("# Ollama has no model that you may use."), shown.is_empty(), "{text}");
        // With a rule, a name that could be refused is not shown either.
        let has_rule = !std::ptr::eq(rules, &all) || grant != json!({});
        assert_eq!(text.contains("reboot"), !has_rule, "{text}");
    }
}

#[tokio::test]
async fn request_chooses_the_model_of_the_lines() {
    let (url, _targets) = ollama_with(&NAMES).await;
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", &url)]);
    for (query, chosen) in [
        ("?model=gemma3:4b", "gemma3:4b"),
        ("?x=1&model=remote", "remote:latest"),
        ("?model=gemma3%3A4b", "gemma3:4b"),
        ("?model=embedder:latest", "embedder:latest"),
        ("?model=nowhere", "qwen3:8b"),
        ("?model=%3Cscript%3E", "qwen3:8b"),
        ("?model=$(reboot)", "qwen3:8b"),
        ("?model=", "qwen3:8b"),
        ("?", "qwen3:8b"),
    ] {
        let said = text(&site, &format!("/setup.txt{query}")).await;
        assert!(said.contains(&format!("\nANTHROPIC_MODEL={chosen} claude\n")), "{query}: {said}");
        let page = site.ask(&request("GET", &format!("/setup{query}"), BROWSER)).await;
        let marked = format!(r#"<a href="/setup?model={chosen}" aria-current="true">{chosen}</a>"#);
        assert!(page.text().contains(&marked), "{query}: {}", page.text());
        assert_eq!(page.text().matches("aria-current").count(), 1, "{query}");
    }
}

#[tokio::test]
async fn hostile_model_names_stay_text() {
    let (url, _targets) = ollama_with(&NAMES[..3]).await;
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", &url)]);
    let answer = site.ask(&request("GET", "/setup", BROWSER)).await;
    let page = answer.text();
    assert!(page.contains("<li>&lt;img?src=x?onerror=alert(1)&gt;</li>"), "{page}");
    assert!(!page.contains("<img") && page.matches("<script").count() == 1, "{page}");
    let said = text(&site, "/setup").await;
    for text in [page, &said] {
        assert!(!text.contains('\u{1b}') && text.contains("rm?-rf?~"), "{text}");
        // No line to copy has such a name.
        assert!(text.contains("ANTHROPIC_MODEL=MODEL claude"), "{text}");
        assert_eq!(text.matches("reboot").count(), 1, "{text}");
    }
    let is_comment = |line: &str| line.starts_with('#');
    assert!(
        said.lines().filter(|line| line.contains("reboot") || line.contains("img")).all(is_comment),
        "{said}"
    );
}

#[tokio::test]
async fn lines_have_the_name_that_works_for_the_peer() {
    let running = Boundary::new(NO_OLLAMA).start();
    let https = [ON, ("https.enabled", "true"), ("upstream.url", NO_OLLAMA)];
    let alone = [&https[..], &[("listen.http", "off"), ("https.port", "8443")]].concat();
    for (settings, host, urls) in [
        (&https[..1], "100.64.0.1", "http://100.64.0.1:11434"),
        (
            &https[..1],
            "Remote-Ollama-Proxy.tailnet.test.:80",
            "http://Remote-Ollama-Proxy.tailnet.test:11434",
        ),
        (&https[..2], "100.64.0.1:80", "http://100.64.0.1:11434, https://remote-ollama-proxy"),
        (&alone[..], "100.64.0.1:80", "https://remote-ollama-proxy:8443"),
    ] {
        let site = Site::with(&running, &[settings, &[("upstream.url", NO_OLLAMA)]].concat());
        let asked = get("/setup.txt").replace("Host: remote-ollama-proxy:11434", &format!("Host: {host}"));
        let answer = site.ask(&asked).await;
        let text = answer.text();
        assert!(text.starts_with(&format!("# Ollama at remote-ollama-proxy: {urls}\n")), "{text}");
        let first = urls.split(',').next().unwrap();
        assert!(text.contains(&format!("\nexport OPENAI_BASE_URL={first}/v1\n")), "{text}");
    }
}
