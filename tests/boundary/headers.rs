//! Host, CORS and everything that is between two hops only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use remote_ollama_proxy::admission::Limits;
use remote_ollama_proxy::peer::Peer;
use remote_ollama_proxy::policy::{AccessMode, Policy};

use serde_json::json;

use crate::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: http://localhost\r\nVary: Origin\r\n\
    Vary: Accept\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn what_belongs_to_one_hop_or_claims_an_identity_stays_behind() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Running::new(policy(), &url);
    let answer = proxy
        .ask(
            "POST /api/show HTTP/1.1\r\nHost: remote-ollama-proxy:11434\r\nOrigin: http://localhost\r\n\
             Authorization: Bearer ollama\r\nX-Stainless-Lang: python\r\nConnection: close, X-Secret\r\n\
             X-Secret: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\nTE: trailers\r\n\
             Tailscale-User-Login: root@example.com\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
             Content-Length: 2\r\n\r\n{}",
        )
        .await;
    let arrived = soon("the request", seen.recv()).await.unwrap();
    let mut lines: Vec<String> = arrived.head.lines().skip(1).map(str::to_ascii_lowercase).collect();
    lines.sort();
    let host = format!("host: {}", url.trim_start_matches("http://"));
    assert_eq!(
        lines,
        [
            "authorization: bearer ollama",
            "content-length: 2",
            host.as_str(),
            "origin: http://localhost",
            "x-stainless-lang: python"
        ]
    );
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost"));
    assert_eq!(answer.head.to_ascii_lowercase().matches("vary:").count(), 2);
    assert_eq!((answer.header("x-hop"), answer.header("keep-alive")), (None, None));
}

#[tokio::test]
async fn a_byte_beyond_ascii_hides_no_name_in_connection() {
    let (url, mut seen) = Ollama::new().await.answering(OK);
    let proxy = Running::new(policy(), &url);
    let mut client = proxy.client().await;
    client
        .send(b"GET /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\nConnection: authorization, \xff\r\n")
        .await;
    client.send("Authorization: Bearer s\r\n\r\n").await;
    client.answer().await;
    assert_eq!(header(&soon("the request", seen.recv()).await.unwrap().head, "authorization"), None);
}

#[tokio::test]
async fn only_names_of_this_node_are_answered() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    for host in
        ["evil.example", "localhost:11434", "127.0.0.1", "100.64.0.9", "remote-ollama-proxy.evil.example"]
    {
        let answer = proxy.ask(&format!("GET /api/tags HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status(), 421, "{host}");
        assert!(answer.text().contains("(rule: host)"));
    }
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn preflights_go_through_for_what_is_allowed_and_can_be_switched_off() {
    let (url, mut seen) = Ollama::new()
        .await
        .answering("HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Methods: POST\r\n\r\n");
    let preflight = |path: &str, wanted: &str| {
        format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nOrigin: http://localhost\r\n\
             Access-Control-Request-Method: {wanted}\r\n\r\n"
        )
    };
    let proxy = Running::new(policy(), &url);
    let answer = proxy.ask(&preflight("/v1/chat/completions", "POST")).await;
    assert_eq!((answer.status(), answer.header("access-control-allow-methods")), (204, Some("POST")));
    assert!(
        soon("the preflight", seen.recv()).await.unwrap().head.starts_with("OPTIONS /v1/chat/completions ")
    );

    assert_eq!(proxy.ask(&preflight("/v1/chat/completions", "DELETE")).await.status(), 405);
    assert_eq!(proxy.ask(&preflight("/api/pull", "POST")).await.status(), 403);
    let bare = "OPTIONS /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\n\r\n";
    assert_eq!(proxy.ask(bare).await.status(), 405);

    let proxy = Running::new(Policy { preflight: false, ..policy() }, &url);
    let answer = proxy.ask(&preflight("/v1/chat/completions", "POST")).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().contains("preflight-off"));
    assert!(seen.is_empty());
}

#[tokio::test]
async fn redirects_pass_and_are_not_followed() {
    let (url, _seen) = Ollama::new()
        .await
        .answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: /api/pull\r\nContent-Length: 0\r\n\r\n");
    let proxy = Running::new(policy(), &url);
    let answer = proxy.ask(&get("/api/tags")).await;
    assert_eq!((answer.status(), answer.header("location")), (307, Some("/api/pull")));
}

#[tokio::test]
async fn switching_protocols_is_no_answer() {
    let (url, _seen) = Ollama::new()
        .await
        .answering("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    let proxy = Running::new(policy(), &url);
    let mut client = proxy.client().await;
    client.send("GET /api/tags HTTP/1.1\r\nHost: remote-ollama-proxy\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 502);
}

/// What a request from a page of `origin` is answered: the status, and who may read that.
async fn read_by(
    proxy: &Running,
    method: &str,
    path: &str,
    origin: &str,
) -> (u16, Option<String>, Option<String>) {
    let answer = proxy
        .ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        ))
        .await;
    let header = |name| answer.header(name).map(str::to_owned);
    (answer.status(), header("access-control-allow-origin"), header("vary"))
}

/// Allows pages of `http://localhost`, and `all` if it is set, and no others, as Ollama does.
fn by_list(all: Arc<AtomicBool>) -> impl Fn(&str) -> String {
    move |head| {
        let allowed = match header(head, "origin") {
            _ if all.load(Ordering::SeqCst) => "*",
            Some(origin @ ("http://localhost:1" | "http://localhost:2")) => origin,
            // As no Ollama does.
            Some("http://odd.example") => "http://other.example",
            _ => return "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        format!("HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: {allowed}\r\n\r\n")
    }
}

#[tokio::test]
async fn a_refusal_is_for_the_eyes_of_pages_that_ollama_has_allowed() {
    let all = Arc::new(AtomicBool::new(false));
    let (url, _seen) = Ollama::new().await.answering_with(by_list(Arc::clone(&all)));
    let proxy = Running::new(policy(), &url);
    let refused = async |origin: &str| read_by(&proxy, "GET", "/api/ps", origin).await;
    let asks =
        async |method: &str, origin: &str| read_by(&proxy, method, "/v1/chat/completions", origin).await.0;
    let told = |origin: &str| (403, Some(origin.to_owned()), Some("Origin".to_owned()));
    let nothing = (403, None, Some("Origin".to_owned()));

    // Before Ollama has said anything.
    assert_eq!(refused("http://localhost:1").await, nothing);
    // By a preflight, and by a request.
    for (method, origin) in [("OPTIONS", "http://localhost:1"), ("POST", "http://localhost:2")] {
        assert_eq!(asks(method, origin).await, 204);
        assert_eq!(refused(origin).await, told(origin));
    }
    for origin in ["https://evil.example", "null", "http://odd.example", ""] {
        asks("OPTIONS", origin).await;
        assert_eq!(refused(origin).await, nothing, "{origin}");
        assert_eq!(refused("http://localhost:1").await, told("http://localhost:1"));
    }
    let without_origin = proxy.ask(&get("/api/ps")).await;
    assert_eq!(without_origin.header("access-control-allow-origin"), None);
    assert_eq!(without_origin.header("vary"), None);

    // Ollama has another list, and says so.
    all.store(true, Ordering::SeqCst);
    assert_eq!(asks("POST", "https://evil.example").await, 204);
    assert_eq!(refused("https://evil.example").await, (403, Some("*".to_owned()), Some("Origin".to_owned())));
    all.store(false, Ordering::SeqCst);
    assert_eq!(asks("POST", "https://evil.example").await, 403);
    assert_eq!(refused("https://evil.example").await, nothing);
}

#[tokio::test]
async fn every_refusal_to_an_origin_varies_by_it() {
    let ollama = Ollama::new().await;
    let proxy = Running::new(policy(), &ollama.url);
    let two = "Origin: http://localhost:1\r\nOrigin: http://localhost:2";
    for (path, origin) in [("/api/ps", "Origin: http://localhost:1"), ("/api/ps", two), ("/api/pull", two)] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{origin}\r\n\r\n");
        let answer = proxy.ask(&head).await;
        assert_eq!((answer.status(), answer.header("vary")), (403, Some("Origin")), "{path} {origin}");
    }
}

/// As Ollama does, an answer to a request without an origin is for all.
fn strict(head: &str) -> String {
    let allowed = match header(head, "origin") {
        None => "*",
        Some(origin) if origin.starts_with("http://localhost") => origin,
        Some(_) => return "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    format!("HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: {allowed}\r\n\r\n")
}

#[tokio::test]
async fn an_answer_to_a_request_whose_origin_was_removed_teaches_nothing() {
    let stripped = Arc::new(AtomicBool::new(false));
    let denies = Arc::clone(&stripped);
    let (url, mut seen) = Ollama::new().await.answering_with(move |head| match header(head, "origin") {
        None if denies.load(Ordering::SeqCst) => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        _ => strict(head),
    });
    let proxy = Running::new(policy(), &url);
    let (ours, foreign) = ("http://localhost:1", "https://evil.example");
    let ask_without = async |origin: &str, connection: &str| {
        let answer = proxy
            .ask(&format!(
                "GET /v1/models HTTP/1.1\r\nHost: remote-ollama-proxy\r\nOrigin: {origin}\r\n{connection}\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.status(), 204);
    };
    let told = async |origin: &str| read_by(&proxy, "GET", "/api/ps", origin).await.1;

    for connection in
        ["Connection: origin", "Connection: keep-alive, ORIGIN", "Connection: a\r\nConnection: Origin ,b"]
    {
        stripped.store(false, Ordering::SeqCst);
        ask_without(foreign, connection).await;
        assert_eq!(header(&soon("the request", seen.recv()).await.unwrap().head, "origin"), None);
        assert_eq!(told(foreign).await, None, "{connection}");

        assert_eq!(read_by(&proxy, "POST", "/api/show", ours).await.0, 204);
        soon("the request", seen.recv()).await.unwrap();
        stripped.store(true, Ordering::SeqCst);
        ask_without(ours, connection).await;
        assert_eq!(header(&soon("the request", seen.recv()).await.unwrap().head, "origin"), None);
        assert_eq!(told(ours).await.as_deref(), Some(ours), "{connection}");
    }
}

#[tokio::test]
async fn no_peer_changes_what_pages_of_another_read() {
    let revoked = Arc::new(AtomicBool::new(false));
    let denies = Arc::clone(&revoked);
    let (url, _seen) = Ollama::new().await.answering_with(move |head| {
        if denies.load(Ordering::SeqCst) {
            return "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned();
        }
        strict(head)
    });
    let proxy = Running::new(policy(), &url);
    let ours = "http://localhost:1";
    let told = async || read_by(&proxy, "GET", "/api/ps", ours).await.1.is_some();
    assert_eq!(read_by(&proxy, "POST", "/api/show", ours).await.0, 204);
    assert!(told().await);

    let mut eve = proxy.client_of(Peer { user: Some("eve@example.com".to_owned()), ..peer() }).await;
    let mut of_eve = async |path: &str, origin: &str| {
        eve.send(format!("GET {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\nOrigin: {origin}\r\n\r\n"))
            .await;
        eve.answer().await
    };
    // What Ollama allowed a page of one identity, it has not yet allowed one of another.
    assert_eq!(of_eve("/api/ps", ours).await.header("access-control-allow-origin"), None);
    for port in 1..100 {
        assert_eq!(of_eve("/v1/models", &format!("http://localhost:{port}")).await.status(), 204);
    }
    assert!(told().await);
    revoked.store(true, Ordering::SeqCst);
    for port in [1, 99] {
        let origin = format!("http://localhost:{port}");
        assert_eq!(of_eve("/v1/models", &origin).await.status(), 403);
        assert_eq!(of_eve("/api/ps", &origin).await.header("access-control-allow-origin"), None);
    }
    assert!(told().await);
}

#[tokio::test]
async fn the_origins_of_so_many_identities_are_remembered() {
    let (url, _seen) = Ollama::new().await.answering_with(strict);
    let proxy = Running::new(policy(), &url);
    let told = async |user: usize, path: &str| {
        let mut client = proxy.client_of(Peer { user: Some(format!("{user}@example.com")), ..peer() }).await;
        let origin = "Origin: http://localhost:1";
        client.send(format!("GET {path} HTTP/1.1\r\nHost: remote-ollama-proxy\r\n{origin}\r\n\r\n")).await;
        client.answer().await.header("access-control-allow-origin").is_some()
    };
    for user in 0..256 {
        assert!(told(user, "/v1/models").await);
    }
    assert!(told(0, "/api/ps").await && told(255, "/api/ps").await);
    assert!(told(256, "/v1/models").await);
    assert!(!told(0, "/api/ps").await && told(1, "/api/ps").await && told(256, "/api/ps").await);
}

#[tokio::test]
async fn of_pages_so_many_are_remembered_and_none_for_ever() {
    let (url, _seen) = Ollama::new().await.answering_with(by_list(Arc::new(AtomicBool::new(true))));
    let proxy = Running::new(policy(), &url);
    let told = async |origin: &str| read_by(&proxy, "GET", "/api/ps", origin).await.1.is_some();
    for n in 0..17 {
        let origin = format!("http://{n}");
        assert_eq!(read_by(&proxy, "POST", "/api/show", &origin).await.0, 204);
        assert!(told(&origin).await);
    }
    assert!(!told("http://0").await && told("http://1").await);
    let long = format!("http://{}", "x".repeat(300));
    assert_eq!(read_by(&proxy, "POST", "/api/show", &long).await.0, 204);
    assert!(!told(&long).await);

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2 * 60 * 60)).await;
    tokio::time::resume();
    assert!(!told("http://16").await);
}

#[tokio::test]
async fn preflights_do_not_count_as_requests_of_a_minute() {
    let (url, _seen) = Ollama::new().await.answering_with(strict);
    let page = "http://localhost:1";
    let limits = Limits { requests_per_minute: Some(3), ..Limits::NONE };
    let by_config = Running::limited(policy(), &url, PATIENCE, AccessMode::Network, limits);
    let by_grant = Running::new(policy(), &url);
    by_grant.word.say(true, vec![json!({"requests_per_minute": 3})]);
    for proxy in [by_config, by_grant] {
        let asks = async |method: &str| {
            let (status, by, _) = read_by(&proxy, method, "/v1/chat/completions", page).await;
            (status, by.as_deref() == Some(page))
        };
        for _ in 0..3 {
            assert_eq!(asks("OPTIONS").await, (204, true));
            assert_eq!(asks("POST").await, (204, true));
        }
        assert_eq!(asks("OPTIONS").await, (204, true));
        assert_eq!(asks("POST").await, (429, true));
        assert_eq!(asks("OPTIONS").await, (204, true));
    }
}

#[tokio::test]
async fn a_page_reads_why_its_request_was_too_large_or_came_too_often() {
    let (url, _seen) = Ollama::new().await.answering_with(by_list(Arc::new(AtomicBool::new(false))));
    let limits = Limits { max_body: 10, requests_per_minute: Some(3), ..Limits::NONE };
    let proxy = Running::limited(policy(), &url, PATIENCE, AccessMode::Network, limits);
    let ask = async |body: &str| {
        let origin = "\r\nOrigin: http://localhost:1\r\n";
        let answer = proxy.ask(&post("/v1/chat/completions", body).replacen("\r\n", origin, 1)).await;
        let by = answer.header("access-control-allow-origin").map(str::to_owned);
        (answer.status(), by.as_deref() == Some("http://localhost:1"))
    };
    assert_eq!(ask("{}").await, (204, true));
    assert_eq!(ask("12345678901").await, (413, true));
    assert_eq!(ask("{}").await, (204, true));
    assert_eq!(ask("{}").await, (429, true));
}
