//! A panic ends one connection. It has its own test binary, since the program replaces the panic hook.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "the support module of the boundary tests has more than this test needs")]

#[path = "../support/http.rs"]
mod http;
#[path = "../boundary/support/mod.rs"]
mod support;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use remote_ollama_proxy::audit::Now;
use remote_ollama_proxy::panics;
use remote_ollama_proxy::proxy::MetricsPort;
use remote_ollama_proxy::tailnet::NodeStatus;
use serde_json::{Value, json};
use support::*;
use tokio::sync::mpsc;

/// The diagnostics.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn panicked_connection_ends_alone_and_is_logged_and_counted() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).init();
    let reports = panics::install_hook().unwrap();
    // A port whose answers panic.
    let running = Boundary::new("http://127.0.0.1:1").grants(vec![json!({"metrics": true})]).start();
    let (connections, incoming) = mpsc::channel(64);
    let port = running.proxy.port().another();
    let planted = |text: Option<String>| text.expect("planted");
    let text = move || Box::pin(async move { planted(None) }) as _;
    let scrapes = MetricsPort::new(port.clone(), Box::new(text));
    tokio::spawn(scrapes.serve(Memory(incoming)));

    let local = "100.64.0.1:9090".parse().unwrap();
    let mut kept = connect(&connections, local).await;
    for panicked in 1..=2 {
        let mut client = connect(&connections, local).await;
        client.send(get("/metrics")).await;
        assert!(client.rest().await.is_empty(), "an answer came");
        assert_eq!(panics::count(), panicked);
    }
    // The other connection still works.
    kept.send(get("/")).await;
    assert_eq!(kept.answer().await.status(), 404);

    reports.flush(Duration::from_secs(60));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let records: Vec<_> = records.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(records.len(), 2, "{log}");
    assert_eq!((&records[0]["task"], &records[0]["text"]), (&json!("a connection"), &json!("planted")));
    assert!(records[0]["peer"].as_str().unwrap().contains("laptop.tailnet.test"), "{log}");
    assert!(records[0]["location"].as_str().unwrap().starts_with("tests/panics/main.rs:"), "{log}");
    let node = NodeStatus::default();
    let metrics = running.proxy.audit().metrics().text(&now(&node));
    assert!(metrics.contains("remote_ollama_proxy_panics_total 2\n"), "{metrics}");
}

fn now(node: &NodeStatus) -> Now<'_> {
    Now {
        running: 0,
        waiting: 0,
        connections: 0,
        node,
        ollama_up: true,
        started: SystemTime::UNIX_EPOCH,
        logs: &[],
    }
}
