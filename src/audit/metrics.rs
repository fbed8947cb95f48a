//! What is counted, in the text format of OpenMetrics. Neither paths nor models become labels: a client
//! could make up as many as it likes.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::gauges::{Now, gauges};
use super::identities::{Identities, Tally};
use super::{Ended, Traffic, Watcher};
use crate::peer::Peer;
use crate::policy::Endpoint;
use crate::usage::Tokens;

/// What all names begin with.
pub(super) const PREFIX: &str = "remote_ollama_proxy";

/// In seconds: from what needs no model to a generation of an hour.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// Everything that has been counted since the process started. A request costs some atomic additions,
/// and locks that are held no longer than it takes to find a counter.
pub struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    refused: Family<Rule, Counter>,
    bytes_in: Family<Route, Counter>,
    bytes_out: Family<Route, Counter>,
    tokens_in: Family<Route, Counter>,
    tokens_out: Family<Route, Counter>,
    untold: Family<Route, Counter>,
    queue: Histograms,
    first_byte: Histograms,
    stream: Histograms,
    identities: Arc<Identities>,
    watcher: OnceLock<Arc<dyn Watcher>>,
}

type Histograms = Family<Route, Histogram, fn() -> Histogram>;

/// A request that has ended.
#[derive(Debug)]
pub struct Done<'a> {
    /// Who asked.
    pub peer: &'a Peer,
    /// At which of the node's ports.
    pub port: u16,
    /// As the log has it.
    pub method: &'a str,
    /// The path, where no endpoint was settled.
    pub path: Option<&'a str>,
    /// The endpoint, once the policy had permitted the request.
    pub endpoint: Option<Endpoint>,
    /// What was answered, if anything was.
    pub status: Option<StatusCode>,
    /// The rule, if the proxy answered in Ollama's place.
    pub rule: Option<&'static str>,
    /// The model that it was refused for.
    pub model: Option<&'a str>,
    /// How it ended.
    pub ended: Ended,
    /// What has passed of it.
    pub traffic: &'a Traffic,
    /// What its answer said of tokens, if they were counted.
    pub tokens: Option<Tokens>,
    /// In the proxy's queue, if its turn came.
    pub queued: Option<Duration>,
    /// From its head to the first byte of Ollama's answer, if there was one.
    pub first_byte: Option<Duration>,
    /// From its head to its end.
    pub took: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    route: &'static str,
    status: &'static str,
    ended: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    rule: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let histograms = || Histograms::new_with_constructor(histogram);
        let mut metrics = Metrics {
            registry: Registry::with_prefix(PREFIX),
            requests: Family::default(),
            refused: Family::default(),
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            tokens_in: Family::default(),
            tokens_out: Family::default(),
            untold: Family::default(),
            queue: histograms(),
            first_byte: histograms(),
            stream: histograms(),
            identities: Arc::default(),
            watcher: OnceLock::new(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests that have ended", metrics.requests.clone());
        registry.register(
            "refused",
            "Requests that the proxy answered in Ollama's place",
            metrics.refused.clone(),
        );
        registry.register(
            "bytes_in",
            "Bytes of requests' bodies that went on to Ollama",
            metrics.bytes_in.clone(),
        );
        registry.register(
            "bytes_out",
            "Bytes of answers' bodies that came from Ollama",
            metrics.bytes_out.clone(),
        );
        registry.register(
            "tokens_in",
            "Tokens of prompts, as answers tell, where they are counted",
            metrics.tokens_in.clone(),
        );
        registry.register(
            "tokens_out",
            "Tokens of answers, as answers tell, where they are counted",
            metrics.tokens_out.clone(),
        );
        registry.register(
            "tokens_untold",
            "Requests that were to be counted and whose answers told of no tokens",
            metrics.untold.clone(),
        );
        registry.register(
            "queue_seconds",
            "From a request's head until its turn in the proxy came",
            metrics.queue.clone(),
        );
        registry.register(
            "upstream_first_byte_seconds",
            "From a request's turn until Ollama's answer began",
            metrics.first_byte.clone(),
        );
        registry.register(
            "stream_seconds",
            "From the beginning of Ollama's answer to the request's end",
            metrics.stream.clone(),
        );
        registry.register_collector(Box::new(Arc::clone(&metrics.identities)));
        metrics
    }
}

impl Metrics {
    /// Of [`text`](Metrics::text).
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// From now on `watcher` is told of each request that ends. There can be one; a further one is not
    /// told.
    pub fn watched_by(&self, watcher: Arc<dyn Watcher>) {
        let _ = self.watcher.set(watcher);
    }

    pub(super) fn count(&self, done: &Done<'_>) {
        if let Some(watcher) = self.watcher.get() {
            watcher.ended(done);
        }
        let name = done.endpoint.map_or("none", Endpoint::name);
        let route = Route { route: name };
        let outcome = Outcome { route: name, status: class(done.status), ended: done.ended.name() };
        self.requests.get_or_create(&outcome).inc();
        if let Some(rule) = done.rule {
            self.refused.get_or_create(&Rule { rule }).inc();
        }
        let passed = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (bytes_in, bytes_out) = (passed(&done.traffic.bytes_in), passed(&done.traffic.bytes_out));
        let Tokens { input, output } = done.tokens.unwrap_or_default();
        let (tokens_in, tokens_out) = (input.unwrap_or(0), output.unwrap_or(0));
        let tally = Tally { requests: 1, bytes_in, bytes_out, tokens_in, tokens_out };
        self.identities.count(done.peer, tally, Instant::now());
        if done.tokens.is_some() {
            self.tokens_in.get_or_create(&route).inc_by(tokens_in);
            self.tokens_out.get_or_create(&route).inc_by(tokens_out);
        }
        if done.tokens == Some(Tokens::default()) {
            self.untold.get_or_create(&route).inc();
        }
        // What is refused beforehand has no part in what follows.
        let Some(queued) = done.queued else { return };
        self.bytes_in.get_or_create(&route).inc_by(bytes_in);
        self.bytes_out.get_or_create(&route).inc_by(bytes_out);
        self.queue.get_or_create(&route).observe(queued.as_secs_f64());
        if let Some(first_byte) = done.first_byte {
            let waited = first_byte.saturating_sub(queued);
            self.first_byte.get_or_create(&route).observe(waited.as_secs_f64());
            let streamed = done.took.saturating_sub(first_byte);
            self.stream.get_or_create(&route).observe(streamed.as_secs_f64());
        }
    }

    /// All of it as text, with how things stand `now`.
    pub fn text(&self, now: &Now<'_>) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = text::encode_registry(&mut out, &self.registry);
        let _ = text::encode(&mut out, &gauges(now));
        out
    }
}

fn class(status: Option<StatusCode>) -> &'static str {
    match status.map(|s| s.as_u16() / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(_) => "5xx",
        None => "none",
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
