//! One record for each request when it ends: who, what, the outcome. Never content: no body, query,
//! prompt, header or key; of a body at most the model's name, where it was refused for it.

mod gauges;
mod identities;
mod journal;
mod metrics;
mod watcher;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};

use crate::peer::{Peer, printable};
use crate::policy::Endpoint;
use crate::usage::Tokens;

pub use gauges::Now;
pub use journal::{Journal, Standing};
pub use metrics::{Done, Metrics};
pub use watcher::Watcher;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The answer went out whole.
    Complete,
    /// The proxy refused it.
    Refused,
    /// The client was gone before the answer was whole.
    ClientLeft,
    /// The client was silent for too long: it sent no more of its body, or read no more of the answer.
    TimedOut,
    /// The peer lost access while it ran.
    Revoked,
    /// The netmap could not be read for so long that the peer's access could not be confirmed.
    Unconfirmed,
    /// The node itself left the tailnet: its key expired, or it was logged out.
    OutOfTailnet,
    /// Somebody at this machine, or at the page, cancelled it while it ran or waited.
    Cancelled,
    /// The proxy stopped before the answer was whole.
    Stopped,
    /// Ollama could not be reached or broke off.
    UpstreamFailed,
}

impl Ended {
    /// Each of them.
    pub const ALL: [Ended; 10] = [
        Ended::Complete,
        Ended::Refused,
        Ended::ClientLeft,
        Ended::TimedOut,
        Ended::Revoked,
        Ended::Unconfirmed,
        Ended::OutOfTailnet,
        Ended::Cancelled,
        Ended::Stopped,
        Ended::UpstreamFailed,
    ];

    /// As it is logged.
    pub fn name(self) -> &'static str {
        match self {
            Ended::Complete => "complete",
            Ended::Refused => "refused",
            Ended::ClientLeft => "client-left",
            Ended::TimedOut => "timed-out",
            Ended::Revoked => "revoked",
            Ended::Unconfirmed => "unconfirmed",
            Ended::OutOfTailnet => "out-of-tailnet",
            Ended::Cancelled => "cancelled",
            Ended::Stopped => "stopped",
            Ended::UpstreamFailed => "upstream-failed",
        }
    }
}

/// What has passed of a request's bodies.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes of the request's body that went on to Ollama.
    pub bytes_in: AtomicU64,
    /// Bytes of the answer's body.
    pub bytes_out: AtomicU64,
}

/// What is known of a request. It is logged and counted when this is dropped, so each request
/// is so once, whatever becomes of it.
#[derive(Debug)]
pub struct Record {
    id: u64,
    peer: Arc<Peer>,
    port: u16,
    method: Method,
    /// When its head had arrived.
    pub started: Instant,
    queued: Option<Duration>,
    first_byte: Option<Duration>,
    status: Option<StatusCode>,
    /// The endpoint, once the policy has permitted the request.
    pub endpoint: Option<Endpoint>,
    /// The path of a request without endpoint.
    path: Option<String>,
    rule: Option<&'static str>,
    /// The model that it was refused for. Of others none is logged.
    model: Option<String>,
    /// Counted as it passes.
    pub traffic: Arc<Traffic>,
    /// What its answer said of tokens; `None`: they were not counted.
    pub tokens: Option<Tokens>,
    ended: Option<Ended>,
    /// Set by whoever cuts the connection.
    cut: Arc<OnceLock<Ended>>,
    metrics: Arc<Metrics>,
}

/// The most characters of a path that are logged.
const PATH_MAX: usize = 100;

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Record {
    /// A request of `peer` has begun, at `port` of the node. `cut` says how its connection was cut, should that happen; `metrics` counts
    /// it when it has ended.
    pub fn new(
        peer: Arc<Peer>,
        port: u16,
        method: &Method,
        cut: Arc<OnceLock<Ended>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Record {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            peer,
            port,
            method: method.clone(),
            started: Instant::now(),
            queued: None,
            first_byte: None,
            status: None,
            endpoint: None,
            path: None,
            rule: None,
            model: None,
            traffic: Arc::default(),
            tokens: None,
            ended: None,
            cut,
            metrics,
        }
    }

    /// The request's id: unique on this machine.
    pub fn id(&self) -> String {
        request_id(self.id)
    }

    /// The request's turn has come, after it has waited for `queued`.
    pub fn begins(&mut self, queued: Duration) {
        self.queued = Some(queued);
    }

    /// Ollama's answer begins with `status`.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.first_byte = Some(self.started.elapsed());
    }

    /// The proxy answers in Ollama's place. `path` is the client's and may hold anything.
    pub fn failed(&mut self, status: StatusCode, rule: &'static str, path: &str, ended: Ended) {
        self.status = Some(status);
        self.rule = Some(rule);
        self.ended = Some(ended);
        if self.endpoint.is_none() {
            let plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
            self.path = Some(path.chars().take(PATH_MAX).map(plain).collect());
        }
    }

    /// It was refused for the model that it asks for, by a name that is short and plain.
    pub fn refused_for(&mut self, model: &str) {
        self.model = Some(model.to_owned());
    }

    fn shown_method(&self) -> &str {
        self.method.as_str().get(..20).unwrap_or(self.method.as_str())
    }

    /// The answer has ended.
    pub fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = match (self.cut.get(), self.ended) {
            (_, Some(ended @ (Ended::Complete | Ended::Refused))) | (None, Some(ended)) => ended,
            (Some(cut), _) => *cut,
            (None, None) => Ended::ClientLeft,
        };
        let took = self.started.elapsed();
        self.metrics.count(&Done {
            peer: &self.peer,
            port: self.port,
            method: self.shown_method(),
            path: self.path.as_deref(),
            endpoint: self.endpoint,
            status: self.status,
            rule: self.rule,
            model: self.model.as_deref(),
            ended,
            traffic: &self.traffic,
            tokens: self.tokens,
            queued: self.queued,
            first_byte: self.first_byte,
            took,
        });
        // What is let in and gets no turn has waited all along.
        let in_vain = if self.endpoint.is_some() { took } else { Duration::ZERO };
        let ms = |d: Duration| d.as_micros() as f64 / 1000.0;
        tracing::info!(
            target: "access",
            id = self.id(),
            node = &*printable(&self.peer.node),
            principal = &*printable(&self.peer.principal()),
            addr = %self.peer.addr,
            port = self.port,
            method = self.shown_method(),
            route = self.endpoint.map(Endpoint::name),
            path = self.path,
            status = self.status.map(|s| s.as_u16()),
            rule = self.rule,
            model = self.model,
            bytes_in = self.traffic.bytes_in.load(Ordering::Relaxed),
            bytes_out = self.traffic.bytes_out.load(Ordering::Relaxed),
            tokens_in = self.tokens.and_then(|t| t.input),
            tokens_out = self.tokens.and_then(|t| t.output),
            tokens = (self.tokens == Some(Tokens::default())).then_some(Tokens::UNTOLD),
            queue_ms = ms(self.queued.unwrap_or(in_vain)),
            first_byte_ms = self.first_byte.map(ms),
            ms = ms(took),
            ended = ended.name(),
        );
    }
}

/// Unique among all requests of this machine: when the process started, and a number.
fn request_id(n: u64) -> String {
    static BOOT: OnceLock<u64> = OnceLock::new();
    let boot = BOOT.get_or_init(|| {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
    });
    format!("{boot:x}-{n}")
}
