//! The port for the metrics: who reads them, and that there is nothing else.

use std::sync::Arc;

use remote_ollama_proxy::admission::{Limits, Pace};
use remote_ollama_proxy::policy::AccessMode;
use remote_ollama_proxy::proxy::{Port, Scrapes, Text};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, mpsc};

use crate::support::*;

const NO_OLLAMA: &str = "http://127.0.0.1:1";

/// The port for the metrics of a running proxy.
struct Metrics {
    connect: mpsc::Sender<remote_ollama_proxy::listen::Accepted<DuplexStream>>,
    port: Port,
}

impl Metrics {
    fn of(running: &Running) -> Metrics {
        Self::with(running, Box::new(|| Box::pin(async { "# EOF\n".to_owned() })))
    }

    fn with(running: &Running, text: Text) -> Metrics {
        let (connect, incoming) = mpsc::channel(64);
        let port = running.proxy.port().another();
        let scrapes = Scrapes::new(port.clone(), Arc::clone(running.proxy.metrics()), text);
        tokio::spawn(scrapes.serve(Memory(incoming)));
        Metrics { connect, port }
    }

    /// Whose text is made once the test lets it be; the first of what is returned tells that somebody
    /// waits for it, the second lets one go on.
    fn held(running: &Running) -> (Metrics, Arc<Semaphore>, Arc<Semaphore>) {
        let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, closed) = (Arc::clone(&begun), Arc::clone(&gate));
        let text = move || {
            let gate = Arc::clone(&closed);
            tell.add_permits(1);
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
        soon("that many connections", async {
            while self.port.live().sessions().len() != connections {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_granted_them_reads_the_metrics_and_nobody_else() {
    for access in [AccessMode::Network, AccessMode::Grants] {
        let running = Running::with(policy(), NO_OLLAMA, PATIENCE, access);
        let metrics = Metrics::of(&running);
        for grants in [
            vec![],
            vec![json!({})],
            vec![json!({"endpoints": ["*"], "metrics": false})],
            vec![json!({"metrics": "true"})],
            vec![json!({"metrics": true, "unheard": 1})],
        ] {
            running.word.say(true, grants.clone());
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
        running.word.say(true, vec![json!({"endpoints": []}), json!({"endpoints": [], "metrics": true})]);
        let answer = metrics.ask(&get("/metrics")).await;
        assert_eq!((answer.status(), answer.text()), (200, "# EOF\n"));
        assert_eq!(
            answer.header("content-type"),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn there_is_nothing_but_the_metrics() {
    let ollama = Ollama::new().await;
    let running = Running::new(policy(), &ollama.url);
    let metrics = Metrics::of(&running);
    running.word.say(true, vec![json!({"metrics": true})]);
    // The query is not looked at.
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
    // Nor are they at the proxy's own port.
    let answer = running.ask(&get("/metrics")).await;
    assert!(answer.status() == 403 && answer.text().contains("(rule: allowlist)"), "{}", answer.text());
    assert!(ollama.untouched().await);
}

#[tokio::test]
async fn what_is_refused_is_counted_and_a_scrape_is_not() {
    let running = Running::new(policy(), NO_OLLAMA);
    let metrics = Metrics::of(&running);
    running.word.say(true, vec![json!({"metrics": true})]);
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
async fn who_loses_access_is_cut_and_who_loses_the_grant_is_refused() {
    let running = Running::new(policy(), NO_OLLAMA);
    let (metrics, begun, gate) = Metrics::held(&running);
    let grants = || vec![json!({"metrics": true})];
    running.word.say(true, grants());
    let (mut idle, mut reading) = (metrics.client().await, metrics.client().await);
    reading.send(get("/metrics")).await;
    soon("the text is asked for", begun.acquire()).await.unwrap().forget();
    metrics.has(2).await;

    // The grant goes while the text is made.
    running.word.say(true, vec![json!({})]);
    assert_eq!(metrics.port.sweep().judge(&running.word.port_members()), 0);
    gate.add_permits(1);
    assert_eq!(reading.answer().await.status(), 403);

    running.word.say(true, grants());
    assert_eq!(metrics.port.sweep().judge(&running.word.port_members()), 0);
    idle.send(get("/metrics")).await;
    soon("the text is asked for", begun.acquire()).await.unwrap().forget();
    running.word.say(false, grants());
    assert_eq!(metrics.port.sweep().judge(&running.word.port_members()), 2);
    assert!(idle.rest().await.is_empty() && reading.rest().await.is_empty());
    metrics.has(0).await;

    // And nobody gets in who has just lost it.
    assert!(metrics.client().await.rest().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_is_not_waited_for() {
    let running = Running::new(policy(), NO_OLLAMA);
    let (metrics, begun, _gate) = Metrics::held(&running);
    running.word.say(true, vec![json!({"metrics": true})]);
    let mut client = metrics.client().await;
    client.send(get("/metrics")).await;
    soon("the text is asked for", begun.acquire()).await.unwrap().forget();
    drop(client);
    metrics.has(0).await;
}

#[tokio::test]
async fn its_connections_have_limits_and_take_none_of_the_proxys() {
    let limits = Limits { connections: 2, connections_per_peer: 2, ..Limits::NONE };
    let running = Running::limited(policy(), NO_OLLAMA, PATIENCE, AccessMode::Network, limits);
    let metrics = Metrics::of(&running);
    running.word.say(true, vec![json!({"metrics": true})]);
    let _held = (metrics.client().await, metrics.client().await);
    metrics.has(2).await;
    assert!(metrics.client().await.rest().await.is_empty());
    assert_eq!(running.ask(&get("/nowhere")).await.status(), 403);
    assert!(running.proxy.live().sessions().len() < 2);
}

#[tokio::test]
async fn it_reads_requests_as_strictly_and_waits_as_long() {
    let pace = Pace { head: std::time::Duration::from_millis(50), ..Pace::default() };
    let running = Running::paced(policy(), NO_OLLAMA, PATIENCE, AccessMode::Network, Limits::NONE, pace);
    let metrics = Metrics::of(&running);
    running.word.say(true, vec![json!({"metrics": true})]);
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
