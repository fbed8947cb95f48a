//! The gauges: values that are looked up for each scrape.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::panics;
use crate::sink::SinkState;
use crate::tailnet::{NodeStatus, STATES};

/// The prefix of every metric's name.
pub(super) const PREFIX: &str = "remote_ollama_proxy";

/// Values that are looked up for each scrape.
pub struct Now<'a> {
    /// Requests with a running slot.
    pub running: u32,
    /// Requests with a waiting slot.
    pub waiting: u32,
    /// Open connections.
    pub connections: usize,
    /// The state of the node.
    pub node: &'a NodeStatus,
    /// Whether Ollama answers.
    pub ollama_up: bool,
    /// When the proxy started.
    pub started: SystemTime,
    /// The diagnostics, the access log and the journal.
    pub logs: &'a [SinkState],
}

type Seconds = Gauge<f64, AtomicU64>;

/// A new registry for each scrape, so that it has no old values.
pub(super) fn gauges(now: &Now<'_>) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let mut add = |name, help, value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    add("running", "Requests with a running slot", now.running.into());
    add("waiting", "Requests with a waiting slot", now.waiting.into());
    add("connections", "Open sessions at the Ollama port", now.connections as i64);
    add("ollama_up", "1 if Ollama answers, asked at each scrape", now.ollama_up.into());

    let states = Family::<[(&str, &str); 1], Gauge>::default();
    for state in STATES {
        states.get_or_create(&[("state", state)]).set((state == now.node.state).into());
    }
    registry.register("node_state", "1 for the present state of the tailnet node", states);
    let started = Timestamp::try_from(now.started).unwrap_or_default();
    let mut add = |name, help, at: Timestamp| {
        let gauge = Seconds::default();
        gauge.set(at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64());
        registry.register(name, help, gauge);
    };
    add("start_time_seconds", "When the proxy started, in Unix time", started);
    if let Some(at) = now.node.key_expiry.as_deref().and_then(|at| at.parse::<Timestamp>().ok()) {
        add("key_expiry_timestamp_seconds", "When the node key expires, in Unix time; absent: never", at);
    }
    let certificate = now.node.certificate.as_ref().and_then(|c| c.expiry.as_deref());
    if let Some(at) = certificate.and_then(|at| at.parse::<Timestamp>().ok()) {
        let help = "When the certificate for HTTPS expires, in Unix time; absent: there is none";
        add("certificate_expiry_timestamp_seconds", help, at);
    }

    let panics = Counter::<u64>::default();
    panics.inc_by(panics::count());
    registry.register("panics", "Tasks that ended in a panic", panics);
    let lost = Family::<[(&str, String); 1], Counter>::default();
    for log in now.logs {
        lost.get_or_create(&[("log", log.name.clone())]).inc_by(log.lost);
    }
    registry.register(
        "log_lines_lost",
        "Lines of the diagnostics, the access log and the journal that could not be written",
        lost,
    );

    // Not the OpenMetrics type "info": parsers of the older Prometheus format reject it.
    let build = Family::<[(&str, &str); 1], Gauge>::default();
    build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    registry.register("build_info", "Always 1; the version is a label", build);
    registry
}
