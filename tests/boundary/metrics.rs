//! The metrics port: who may read it, and that it serves nothing else.

use std::sync::Arc;

use remote_ollama_proxy::admission::{Limits, Timeouts};
use remote_ollama_proxy::policy::AccessMode;
use remote_ollama_proxy::proxy::{MetricsPort, MetricsText, Port};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, mpsc};

use crate::support::*;

const NO_OLLAMA: &str = "http://127.0.0.1:1";

/// The metrics port of a running proxy.
struct Metrics {
    connect: mpsc::Sender<remote_ollama_proxy::listen::Accepted<DuplexStream>>,
    port: Port,
}

impl Metrics {
    fn of(running: &Running) -> Metrics {
        Self::with(running, Box::new(|| Box::pin(async { "# EOF\n".to_owned() })))
    }

    fn with(running: &Running, text: MetricsText) -> Metrics {
        let (connect, incoming) = mpsc::channel(64);
        let port = running.proxy.port().another();
        let scrapes = MetricsPort::new(port.clone(), text);
        tokio::spawn(scrapes.serve(Memory(incoming)));
        Metrics { connect, port }
    }

    /// Its text waits for the test. The first semaphore counts scrapes that wait; each permit of the second lets one
    /// continue.
    fn held(running: &Running) -> (Metrics, Arc<Semaphore>, Arc<Semaphore>) {
        let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (waiting, closed) = (Arc::clone(&begun), Arc::clone(&gate));
        let text = move || {
            let gate = Arc::clone(&closed);
            waiting.add_permits(1);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                "# EOF\n".to_owned()
            }) as _
        };
        (Self::with(running, Box::new(text)), begun, gate)
    }

    async fn client(&self) -> Client<DuplexStream> {
        connect(&self.connect, "100.64.0.1:9090".parse().unwrap()).await
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    /// Waits until there are so many connections.
    async fn has(&self, connections: usize) {
        let held = async || self.port.sessions().all().len() == connections;
        eventually("that many connections", held).await;
    }
}

#[tokio::test]
async fn metrics_require_their_grant() {
    for access in [AccessMode::Network, AccessMode::Grants] {
        let running = Boundary::new(NO_OLLAMA).access(access).start();
        let metrics = Metrics::of(&running);
        for grants in [
            vec![],
            vec![json!({})],
            vec![json!({"endpoints": ["*"], "metrics": false})],
            vec![json!({"metrics": "true"})],
            vec![json!({"metrics": true, "unheard": 1})],
        ] {
            running.grant(grants.clone());
            for request in [get("/metrics"), get("/"), post("/metrics", "{}"), get("/api/tags")] {
                let answer = metrics.ask(&request).await;
                assert_eq!(answer.status(), 403, "{grants:?}: {request}");
                let said = answer.text();
                assert!(
                    said.contains(r#"\"metrics\": true"#) && said.contains("admin of the tailnet"),
                    "{said}"
                );
                assert!(said.contains("(rule: grant)"), "{said}");
            }
        }
        running.grant(vec![json!({"endpoints": []}), json!({"endpoints": [], "metrics": true})]);
        let answer = metrics.ask(&get("/metrics")).await;
        assert_eq!((answer.status(), answer.text()), (200, "# EOF\n"));
        assert_eq!(
            answer.header("content-type"),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn metrics_port_serves_nothing_else() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let metrics = Metrics::of(&running);
    running.grant(vec![json!({"metrics": true})]);
    // The query is ignored.
    assert_eq!(metrics.ask(&get("/metrics?a=b")).await.status(), 200);
    for (request, status, rule) in [
        (get("/"), 404, "metrics-only"),
        (get("/metrics/"), 404, "metrics-only"),
        (get("/api/tags"), 404, "metrics-only"),
        (post("/v1/chat/completions", "{}"), 404, "metrics-only"),
        (get("/%6detrics"), 403, "target"),
        (get("/x/../metrics"), 403, "target"),
        (get("http://remote-ollama-proxy/metrics"), 403, "target"),
        (get("/metrics").replace("remote-ollama-proxy", "evil.example"), 421, "host"),
        (get("/metrics").replace("Host: remote-ollama-proxy:11434\r\n", ""), 400, "framing"),
    ] {
        let answer = metrics.ask(&request).await;
        assert_eq!(answer.status(), status, "{request}");
        assert!(answer.text().contains(&format!("(rule: {rule})")), "{request}: {}", answer.text());
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = metrics.ask(&get("/metrics").replace("GET", method)).await;
        assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET")), "{method}");
    }
    // The Ollama port does not serve metrics.
    let answer = running.ask(&get("/metrics")).await;
    assert!(answer.status() == 403 && answer.text().contains("(rule: allowlist)"), "{}", answer.text());
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn metrics_port_counts_refusals_but_no_scrapes() {
    let running = Boundary::new(NO_OLLAMA).start();
    let metrics = Metrics::of(&running);
    running.grant(vec![json!({"metrics": true})]);
    let mut client = metrics.client().await;
    for _ in 0..3 {
        client.send(get("/metrics")).await;
        assert_eq!(client.answer().await.status(), 200);
    }
    let some = |text: &str| text.contains("\nremote_ollama_proxy_requests_total{");
    assert!(!some(&running.counted()), "{}", running.counted());
    client.send(get("/")).await;
    assert_eq!(client.answer().await.status(), 404);
    assert!(some(&running.counted()));
    assert!(running.counted().contains("refused_total{rule=\"metrics-only\"} 1\n"), "{}", running.counted());
}

#[tokio::test]
async fn metrics_revoked_peer_is_cut_and_peer_without_grant_is_refused() {
    let running = Boundary::new(NO_OLLAMA).start();
    let (metrics, begun, gate) = Metrics::held(&running);
    let grants = || vec![json!({"metrics": true})];
    running.grant(grants());
    let (mut idle, mut reading) = (metrics.client().await, metrics.client().await);
    reading.send(get("/metrics")).await;
    soon("the text is asked for", begun.acquire()).await.unwrap().forget();
    metrics.has(2).await;

    // The grant is revoked while the text is made.
    running.grant(vec![json!({})]);
    assert_eq!(metrics.port.sweep().judge(&running.port_members()), 0);
    gate.add_permits(1);
    assert_eq!(reading.answer().await.status(), 403);

    running.grant(grants());
    assert_eq!(metrics.port.sweep().judge(&running.port_members()), 0);
    idle.send(get("/metrics")).await;
    soon("the text is asked for", begun.acquire()).await.unwrap().forget();
    running.revoke();
    assert_eq!(metrics.port.sweep().judge(&running.port_members()), 2);
    assert!(idle.rest().await.is_empty() && reading.rest().await.is_empty());
    metrics.has(0).await;

    // A peer that has just been revoked gets no connection.
    assert!(metrics.client().await.rest().await.is_empty());
}

#[tokio::test]
async fn metrics_client_disconnect_ends_its_scrape() {
    let running = Boundary::new(NO_OLLAMA).start();
    let (metrics, begun, _gate) = Metrics::held(&running);
    running.grant(vec![json!({"metrics": true})]);
    let mut client = metrics.client().await;
    client.send(get("/metrics")).await;
    soon("the text is asked for", begun.acquire()).await.unwrap().forget();
    drop(client);
    metrics.has(0).await;
}

#[tokio::test]
async fn metrics_connections_have_their_own_limits() {
    let limits = Limits { connections: 2, connections_per_peer: 2, ..Limits::NONE };
    let running = Boundary::new(NO_OLLAMA).limits(limits).start();
    let metrics = Metrics::of(&running);
    running.grant(vec![json!({"metrics": true})]);
    let _held = (metrics.client().await, metrics.client().await);
    metrics.has(2).await;
    assert!(metrics.client().await.rest().await.is_empty());
    assert_eq!(running.ask(&get("/nowhere")).await.status(), 403);
    assert!(running.proxy.sessions().all().len() < 2);
}

#[tokio::test]
async fn metrics_port_has_the_same_framing_rules_and_timeouts() {
    let pace = Timeouts { head: std::time::Duration::from_millis(50), ..Timeouts::default() };
    let running = Boundary::new(NO_OLLAMA).timeouts(pace).start();
    let metrics = Metrics::of(&running);
    running.grant(vec![json!({"metrics": true})]);
    let mut client = metrics.client().await;
    client.send("GET /metrics HTTP/1.1\r\nHost: remote").await;
    assert_eq!(client.answer().await.status(), 408);
    assert!(client.rest().await.is_empty());

    let two_lengths =
        get("/metrics").replace("\r\n\r\n", "\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    let long = get("/metrics").replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(40_000)));
    for (request, status) in [(two_lengths, 400), (long, 431)] {
        let mut client = metrics.client().await;
        client.send(request).await;
        assert_eq!(client.answer().await.status(), status);
        client.rest().await;
    }
}
