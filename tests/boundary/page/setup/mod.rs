//! The set-up for peers: who gets it, and what it says.

use remote_ollama_proxy::policy::AccessMode;
use serde_json::json;
use tokio::net::TcpStream;

use super::*;

mod lines;

const ON: (&str, &str) = ("page.setup", "true");
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

/// A stand-in for Ollama with these models; returns its URL and the targets that are requested.
async fn ollama_with(names: &'static [&'static str]) -> (String, mpsc::UnboundedReceiver<String>) {
    let ollama = Ollama::new().await;
    let (seen, targets) = mpsc::unbounded_channel();
    let url = ollama.url.clone();
    tokio::spawn(async move {
        loop {
            let mut client = ollama.accept().await;
            let seen = seen.clone();
            tokio::spawn(async move {
                while let Some(head) = client.head().await {
                    let Some(body) = client.body(&head).await else { return };
                    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let answer = match &*target {
                        "/api/tags" => tags(names),
                        "/api/show" => show(&serde_json::from_slice(&body).unwrap()),
                        _ => json!({}),
                    };
                    let _ = seen.send(target);
                    client.send(ok(&answer.to_string())).await;
                }
            });
        }
    });
    (url, targets)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn tags(names: &[&str]) -> Value {
    let model = |name: &&str| json!({"name": name, "model": name, "digest": format!("sha256:{name}")});
    json!({"models": names.iter().map(model).collect::<Vec<_>>()})
}

fn show(asked: &Value) -> Value {
    match asked["model"].as_str().unwrap() {
        "embedder:latest" => json!({"capabilities": ["embedding"]}),
        "remote:latest" => json!({"capabilities": ["completion"], "remote_host": "https://example.com"}),
        _ => json!({"capabilities": ["completion", "tools"]}),
    }
}

/// The set-up as text.
async fn text(site: &Site, path: &str) -> String {
    let answer = site.ask(&get(path)).await;
    assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    answer.text().to_owned()
}

#[tokio::test]
async fn setup_is_for_every_peer_that_may_ask_ollama() {
    let own = ["/", "/setup", "/setup.txt", "/setup.js", "/page.css", "/icon.svg"];
    let others =
        [("GET", "/page.js"), ("GET", "/events"), ("POST", "/requests/1-1/cancel"), ("GET", "/nowhere")];
    let network = AccessMode::Network;
    for (access, grants, may_ask) in [
        (network, vec![], true),
        (network, vec![json!({"metrics": true})], true),
        (network, vec![json!({"endpoints": ["v1_models"]})], true),
        (network, vec![json!({"endpoints": []})], false),
        (network, vec![json!({"endpoints": ["api_chat"]})], false), // granted, but off
        (network, vec![json!({"unheard": 1})], false),
        (AccessMode::Grants, vec![], false),
        (AccessMode::Grants, vec![json!({"endpoints": ["*"]})], true),
    ] {
        let running = Boundary::new(NO_OLLAMA).access(access).grants(grants.clone()).start();
        let site = Site::with(&running, &[ON, ("upstream.url", NO_OLLAMA)]);
        for path in own {
            let answer = site.ask(&get(path)).await;
            assert_eq!(answer.status(), if may_ask { 200 } else { 403 }, "{access:?} {grants:?} {path}");
        }
        for (method, path) in others {
            let answer = site.ask(&request(method, path, "")).await;
            assert_eq!(answer.status(), 403, "{grants:?} {path}");
            assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn setup_needs_access_to_the_ollama_port() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", NO_OLLAMA)]);
    assert_eq!(site.ask(&get("/setup")).await.status(), 200);
    running.close(11434);
    for path in ["/", "/setup", "/setup.txt", "/setup.js", "/page.css"] {
        let answer = site.ask(&get(path)).await;
        assert_eq!(answer.status(), 403, "{path}");
        assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());
    }
    // HTTPS alone is enough, and then the lines have that address only.
    let site = Site::with(&running, &[ON, ("https.enabled", "true"), ("upstream.url", NO_OLLAMA)]);
    let answer = site.ask(&get("/setup.txt")).await;
    let text = answer.text();
    assert!(text.starts_with("# Ollama at remote-ollama-proxy: https://remote-ollama-proxy\n"), "{text}");
    assert!(!text.contains(":11434"), "{text}");
}

#[tokio::test]
async fn peer_with_the_page_also_has_the_setup_if_it_may_ask() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", NO_OLLAMA)]);
    let browser = |path: &str| request("GET", path, BROWSER);
    for (grant, may_ask) in
        [(json!({"page": "view"}), true), (json!({"page": "admin", "endpoints": []}), false)]
    {
        running.grant(vec![grant]);
        assert!(site.ask(&browser("/")).await.text().contains("Requests"), "it is the page");
        let answer = site.ask(&browser("/setup")).await;
        if may_ask {
            assert!(answer.text().contains(r#"<a href="/">"#), "{}", answer.text());
        } else {
            assert_eq!((answer.status(), answer.text().contains("(rule: page-only)")), (404, true));
        }
        let mut stream = site.watch().await;
        stream.next().await.unwrap();
        assert_eq!(stream.known["you"]["setup"], may_ask);
    }
}

#[tokio::test]
async fn setup_shows_nothing_of_other_peers() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::with(&running, &[ON, ("upstream.url", NO_OLLAMA)]);
    let _running = running.stream_of(bob(), &ollama).await;
    for path in ["/", "/setup", "/setup.txt"] {
        let answer = site.ask(&request("GET", path, BROWSER)).await;
        assert_eq!(answer.status(), 200);
        for other in ["bob", "n3", "100.64.0.3", "anna", "127.0.0.1"] {
            assert!(!answer.text().contains(other), "{path}: {other}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn setup_is_protected_like_the_page() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", NO_OLLAMA)]);
    let evil = "Origin: http://evil.example\r\n";
    for (request, status, rule) in [
        (get("/setup").replace("remote-ollama-proxy", "evil.example"), 421, "host"),
        (get("/setup.txt").replace("remote-ollama-proxy", "127.0.0.1"), 421, "host"),
        (request("GET", "/setup.txt", evil), 403, "cross-site"),
        (request("GET", "/setup.js", evil), 403, "cross-site"),
        (request("GET", "/setup.txt", "Sec-Fetch-Site: cross-site\r\n"), 403, "cross-site"),
        (post("/setup", ""), 405, "method"),
        (get("/setup/"), 403, "grant"),
        (get("/Setup"), 403, "grant"),
        (get("/setup.txt"), 200, ""),
        (get("/setup.js"), 200, ""),
        (request("GET", "/setup", BROWSER), 200, ""),
        // A link on another site may lead here, and that site can't read the answer.
        (request("GET", "/setup", "Sec-Fetch-Site: cross-site\r\n"), 200, ""),
    ] {
        let answer = site.ask(&request).await;
        assert_eq!(answer.status(), status, "{request}");
        assert!(status == 200 || answer.text().contains(&format!("(rule: {rule})")), "{}", answer.text());
        let csp = answer.header("content-security-policy").unwrap();
        assert!(
            csp.starts_with("default-src 'none'; script-src 'self';") && !csp.contains("unsafe"),
            "{csp}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{request}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{request}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{request}");
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    }
    // The Content-Security-Policy allows neither scripts nor styles in the page.
    let answer = site.ask(&request("GET", "/setup", BROWSER)).await;
    let page = answer.text();
    assert!(!page.contains("style=") && !page.contains("onclick="), "{page}");
    assert!(page.contains(r#"<script src="/setup.js" defer></script>"#), "{page}");
}

#[tokio::test]
async fn setup_repeats_nothing_of_the_request_but_the_checked_host() {
    let (url, _targets) = ollama_with(&["qwen3:8b"]).await;
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", &url)]);
    let marked = "Referer: http://remote-ollama-proxy/marked\r\nUser-Agent: marked\r\nCookie: marked=1\r\n\
        X-Forwarded-Host: marked\r\nX-Forwarded-Proto: marked\r\nForwarded: host=marked\r\nAccept-Language: marked\r\n";
    for path in ["/?marked", "/setup?model=marked", "/setup.txt?model=marked&marked=marked"] {
        for accept in ["", BROWSER] {
            let answer = site.ask(&request("GET", path, &format!("{marked}{accept}"))).await;
            assert_eq!(answer.status(), 200, "{path}");
            assert!(!answer.head.contains("marked"), "{path}: {}", answer.head);
            // The text and the page say that a model is marked.
            let said = answer.text().replace("name the marked model", "");
            assert!(said.contains("qwen3:8b") && !said.contains("marked"), "{path}: {said}");
        }
    }
}

#[tokio::test]
async fn many_requests_ask_ollama_once() {
    let (url, mut targets) = ollama_with(&["qwen3:8b"]).await;
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", &url)]);
    for _ in 0..20 {
        assert!(text(&site, "/setup").await.contains("#   qwen3:8b"));
    }
    drop(site);
    let mut asked = Vec::new();
    while let Ok(target) = targets.try_recv() {
        asked.push(target);
    }
    assert_eq!(asked, ["/api/tags", "/api/show"]);
}

/// A client whose request for the set-up waits for Ollama's list of models, and Ollama's end.
async fn asks(site: &Site, ollama: &Ollama) -> (Client<DuplexStream>, Client<TcpStream>) {
    let mut client = site.client().await;
    client.send(get("/setup")).await;
    let mut upstream = ollama.accept().await;
    upstream.head().await.unwrap();
    (client, upstream)
}

#[tokio::test]
async fn client_that_disconnects_does_not_make_ollama_list_its_models_again() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", &ollama.url)]);
    let (client, mut upstream) = asks(&site, &ollama).await;
    drop(client);
    site.has(0).await;
    let mut next = site.client().await;
    next.send(get("/setup")).await;
    // The first list is the only one.
    upstream.send(ok(&tags(&[]).to_string())).await;
    let answer = next.answer().await;
    assert!(answer.text().contains("# Ollama has no model that you may use."), "{}", answer.text());
}

#[tokio::test]
async fn setup_says_that_ollama_does_not_answer() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", NO_OLLAMA)]);
    let said = text(&site, "/setup").await;
    assert!(said.contains("# Ollama does not answer now, so its models are not known."), "{said}");
    assert!(said.contains("ANTHROPIC_MODEL=MODEL claude\n"), "{said}");
}

#[tokio::test]
async fn peer_that_loses_its_rights_meanwhile_gets_a_refusal() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::with(&running, &[ON, ("upstream.url", &ollama.url)]);
    let (mut client, mut upstream) = asks(&site, &ollama).await;
    running.grant(vec![json!({"endpoints": []})]);
    site.sweep(&running);
    upstream.send(ok(&tags(&[]).to_string())).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());
}
