//! One record for each request when it ends: who, what, the outcome. Never content: no body, query,
//! prompt, header or key.

mod journal;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};

use crate::peer::{Peer, shown};
use crate::policy::Endpoint;

pub use journal::{Journal, Standing};

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
    /// The proxy stopped before the answer was whole.
    Stopped,
    /// Ollama could not be reached or broke off.
    UpstreamFailed,
}

impl Ended {
    /// As it is logged.
    pub fn name(self) -> &'static str {
        match self {
            Ended::Complete => "complete",
            Ended::Refused => "refused",
            Ended::ClientLeft => "client-left",
            Ended::TimedOut => "timed-out",
            Ended::Revoked => "revoked",
            Ended::Stopped => "stopped",
            Ended::UpstreamFailed => "upstream-failed",
        }
    }
}

/// What is known of a request. It is logged when this is dropped, so each request is logged once,
/// whatever becomes of it.
#[derive(Debug)]
pub struct Record {
    id: u64,
    peer: Arc<Peer>,
    method: Method,
    started: Instant,
    queued: Duration,
    first_byte: Option<Duration>,
    status: Option<StatusCode>,
    /// The endpoint, once the policy has permitted the request.
    pub endpoint: Option<Endpoint>,
    /// The path of a request without endpoint.
    path: Option<String>,
    rule: Option<&'static str>,
    /// Bytes of the request's body that went on to Ollama.
    pub bytes_in: Arc<AtomicU64>,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    ended: Option<Ended>,
    /// Set by whoever cuts the connection.
    cut: Arc<OnceLock<Ended>>,
}

/// The most characters of a path that are logged.
const PATH_MAX: usize = 100;

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Record {
    /// A request has begun. `cut` says how its connection was cut, should that happen.
    pub fn new(peer: Arc<Peer>, method: &Method, cut: Arc<OnceLock<Ended>>) -> Self {
        Record {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            peer,
            method: method.clone(),
            started: Instant::now(),
            queued: Duration::ZERO,
            first_byte: None,
            status: None,
            endpoint: None,
            path: None,
            rule: None,
            bytes_in: Arc::default(),
            bytes_out: 0,
            ended: None,
            cut,
        }
    }

    /// The request's turn has come, after it has waited for `queued`.
    pub fn begins(&mut self, queued: Duration) {
        self.queued = queued;
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
        let ms = |d: Duration| d.as_micros() as f64 / 1000.0;
        tracing::info!(
            target: "access",
            id = request_id(self.id),
            node = &*shown(&self.peer.node),
            principal = &*shown(&self.peer.principal()),
            addr = %self.peer.addr,
            method = self.method.as_str().get(..20).unwrap_or(self.method.as_str()),
            route = self.endpoint.map(Endpoint::name),
            path = self.path,
            status = self.status.map(|s| s.as_u16()),
            rule = self.rule,
            bytes_in = self.bytes_in.load(Ordering::Relaxed),
            bytes_out = self.bytes_out,
            queue_ms = ms(self.queued),
            first_byte_ms = self.first_byte.map(ms),
            ms = ms(self.started.elapsed()),
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
