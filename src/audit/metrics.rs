//! Counters and histograms, in the text format of OpenMetrics. No label has a text that a client chose, such as a path: a
//! client could make up any number of them. Models are named as in Ollama's own list.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::AccessRecord;
use super::gauges::{Now, PREFIX, gauges};
use super::identities::Identities;
use super::models::Models;
use super::tallies::Tally;
use crate::usage::Tokens;

/// In seconds: from a request that needs no model to a generation that takes an hour.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// What has been counted since the process started. A request costs a few atomic additions, and short locks to look
/// up its counters.
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
    models: Arc<Models>,
}

type Histograms = Family<Route, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    route: Cow<'static, str>,
    status: &'static str,
    ended: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    rule: Cow<'static, str>,
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
            models: Arc::default(),
        };
        metrics.register_counters();
        metrics.register_histograms();
        metrics.registry.register_collector(Box::new(Arc::clone(&metrics.identities)));
        metrics.registry.register_collector(Box::new(Arc::clone(&metrics.models)));
        metrics
    }
}

impl Metrics {
    /// Of [`text`](Metrics::text).
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    pub(super) fn count(&self, record: &AccessRecord) {
        let endpoint = record.endpoint.clone().unwrap_or("none".into());
        let outcome =
            Outcome { route: endpoint.clone(), status: class(record.status), ended: record.ended.name() };
        let route = Route { route: endpoint };
        self.requests.get_or_create(&outcome).inc();
        if let Some(rule) = record.rule.clone() {
            self.refused.get_or_create(&Rule { rule }).inc();
        }
        let Tokens { input, output } = record.tokens.unwrap_or_default();
        let (tokens_in, tokens_out) = (input.unwrap_or(0), output.unwrap_or(0));
        let (bytes_in, bytes_out) = (record.bytes_in, record.bytes_out);
        let tally = Tally { requests: 1, bytes_in, bytes_out, tokens_in, tokens_out };
        let now = Instant::now();
        self.identities.count(&record.peer, tally, now);
        if let Some(model) = record.used_model() {
            self.models.count(model, tally, now);
        }
        if record.tokens.is_some() {
            self.tokens_in.get_or_create(&route).inc_by(tokens_in);
            self.tokens_out.get_or_create(&route).inc_by(tokens_out);
        }
        if record.tokens == Some(Tokens::default()) {
            self.untold.get_or_create(&route).inc();
        }
        // The rest counts only requests that got a running slot.
        let Some(queued) = record.queued else { return };
        self.bytes_in.get_or_create(&route).inc_by(bytes_in);
        self.bytes_out.get_or_create(&route).inc_by(bytes_out);
        self.queue.get_or_create(&route).observe(queued.duration().as_secs_f64());
        if let Some(first_byte) = record.first_byte {
            let waited = first_byte.duration().saturating_sub(queued.duration());
            self.first_byte.get_or_create(&route).observe(waited.as_secs_f64());
            let streamed = record.took.duration().saturating_sub(first_byte.duration());
            self.stream.get_or_create(&route).observe(streamed.as_secs_f64());
        }
    }

    /// Registers the counters.
    fn register_counters(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Ended requests", self.requests.clone());
        registry.register(
            "refused",
            "Requests that the proxy answered itself: refusals, failures of Ollama and redirects to HTTPS",
            self.refused.clone(),
        );
        registry.register("bytes_in", "Bytes of request bodies sent to Ollama", self.bytes_in.clone());
        registry.register("bytes_out", "Bytes of answer bodies received from Ollama", self.bytes_out.clone());
        registry.register(
            "tokens_in",
            "Prompt tokens that answers report, where tokens are counted",
            self.tokens_in.clone(),
        );
        registry.register(
            "tokens_out",
            "Generated tokens that answers report, where tokens are counted",
            self.tokens_out.clone(),
        );
        registry.register(
            "tokens_untold",
            "Requests whose tokens are counted, but whose answers report none",
            self.untold.clone(),
        );
    }

    /// Registers the histograms.
    fn register_histograms(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "queue_seconds",
            "From the head of a request to its running slot",
            self.queue.clone(),
        );
        registry.register(
            "upstream_first_byte_seconds",
            "From the running slot to the first byte of Ollama's answer",
            self.first_byte.clone(),
        );
        registry.register(
            "stream_seconds",
            "From the first byte of Ollama's answer to the end of the request",
            self.stream.clone(),
        );
    }

    /// All metrics as text; `now` has the gauges.
    pub fn text(&self, now: &Now<'_>) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = text::encode_registry(&mut out, &self.registry);
        let _ = text::encode(&mut out, &gauges(now));
        out
    }
}

fn class(status: Option<u16>) -> &'static str {
    match status.map(|status| status / 100) {
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
