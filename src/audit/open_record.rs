//! The record of a request that has not ended yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};

use super::record::now;
use super::{AccessRecord, AuditSink, Ended, OTHER_MODEL};
use crate::peer::Peer;
use crate::policy::{Endpoint, Rule};
use crate::usage::Tokens;

/// Bytes of a request's bodies, counted while they pass.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes of the request's body that were sent to Ollama.
    pub bytes_in: AtomicU64,
    /// Bytes of the answer's body that came from Ollama.
    pub bytes_out: AtomicU64,
}

/// Collects what becomes of a request. Dropping it hands the finished [`AccessRecord`] to the [`AuditSink`], so
/// that each request is recorded exactly once, however it ends.
#[derive(Debug)]
pub struct OpenRecord {
    id: String,
    peer: Arc<Peer>,
    port: u16,
    method: Method,
    /// When the head of the request had arrived.
    pub started: Instant,
    queued: Option<Duration>,
    first_byte: Option<Duration>,
    status: Option<StatusCode>,
    /// The endpoint, once the policy has permitted the request.
    pub endpoint: Option<Endpoint>,
    path: Option<String>,
    rule: Option<Rule>,
    model: Option<String>,
    /// Counted while the bodies pass.
    pub traffic: Arc<Traffic>,
    /// The tokens that the answer reported. `None`: tokens are not counted.
    pub tokens: Option<Tokens>,
    ended: Option<Ended>,
    /// Why the session was cut, if it was.
    cut: Arc<OnceLock<Ended>>,
    audit: Arc<AuditSink>,
}

/// The longest path in a record, in characters.
const PATH_MAX: usize = 100;

/// The longest method in a record, in bytes.
const METHOD_MAX: usize = 20;

impl OpenRecord {
    /// A request of `peer` to `port` of our node has begun. `cut` is set when its session is cut.
    pub fn new(
        peer: Arc<Peer>,
        port: u16,
        method: &Method,
        cut: Arc<OnceLock<Ended>>,
        audit: Arc<AuditSink>,
    ) -> Self {
        OpenRecord {
            id: request_id(),
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
            audit,
        }
    }

    /// The request's id: unique on this machine.
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// The request got a running slot after it had waited for `queued`.
    pub fn begins(&mut self, queued: Duration) {
        self.queued = Some(queued);
    }

    /// Ollama's answer begins with `status`.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.first_byte = Some(self.started.elapsed());
    }

    /// The proxy answers instead of Ollama. `path` is the client's and may contain anything.
    pub fn failed(&mut self, status: StatusCode, rule: Rule, path: &str, ended: Ended) {
        self.status = Some(status);
        self.rule = Some(rule);
        self.ended = Some(ended);
        // CONNECT has no path.
        if self.endpoint.is_none() && !path.is_empty() {
            let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
            self.path = Some(path.chars().take(PATH_MAX).map(printable).collect());
        }
    }

    /// The request was refused for its model. The caller has cut the name and made it printable.
    pub fn refused_for(&mut self, model: &str) {
        self.model = Some(model.to_owned());
    }

    /// The request names this model of Ollama's list, or none of them. A refused request has only a model that it was refused
    /// for.
    pub fn names(&mut self, model: Option<&str>) {
        if self.rule.is_none() || self.ended == Some(Ended::UpstreamFailed) {
            self.model = Some(model.unwrap_or(OTHER_MODEL).to_owned());
        }
    }

    /// The answer has ended.
    pub fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }

    /// A cut explains every end but that of a request that was already complete or refused.
    fn ended(&self) -> Ended {
        match (self.cut.get(), self.ended) {
            (_, Some(ended @ (Ended::Complete | Ended::Refused))) | (None, Some(ended)) => ended,
            (Some(cut), _) => *cut,
            (None, None) => Ended::ClientLeft,
        }
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        let method = self.method.as_str();
        self.audit.request(AccessRecord {
            time: now(),
            id: std::mem::take(&mut self.id),
            peer: (&*self.peer).into(),
            addr: self.peer.addr,
            port: self.port,
            method: method.get(..METHOD_MAX).unwrap_or(method).to_owned(),
            endpoint: self.endpoint.map(|endpoint| endpoint.name().into()),
            path: self.path.take(),
            status: self.status.map(|status| status.as_u16()),
            rule: self.rule.map(|rule| rule.name().into()),
            model: self.model.take(),
            bytes_in: self.traffic.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.traffic.bytes_out.load(Ordering::Relaxed),
            tokens: self.tokens,
            queued: self.queued.map(Into::into),
            first_byte: self.first_byte.map(Into::into),
            took: self.started.elapsed().into(),
            ended: self.ended(),
        });
    }
}

/// The process's start in milliseconds of Unix time, and a number: no other request of this machine has it.
fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    static START: OnceLock<u128> = OnceLock::new();
    let start = START.get_or_init(|| {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis())
    });
    format!("{start:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::audit::{AccessChange, Observer};

    #[derive(Default)]
    struct Paths(Mutex<Vec<Option<String>>>);

    impl Observer for Paths {
        fn request(&self, record: &AccessRecord) {
            self.0.lock().push(record.path.clone());
        }

        fn access(&self, _: &AccessChange) {}
    }

    #[test]
    fn request_without_a_path_has_none_in_its_record() {
        let paths = Arc::new(Paths::default());
        let audit = Arc::new(AuditSink::new(None, None, Some(paths.clone() as Arc<dyn Observer>)));
        let peer = Arc::new(Peer {
            addr: ([100, 64, 0, 2], 5).into(),
            node: "a".to_owned(),
            stable_id: "n1".to_owned(),
            user: None,
            tags: Vec::new(),
            os: String::new(),
        });
        for path in ["", "/a b"] {
            let mut record =
                OpenRecord::new(peer.clone(), 80, &Method::CONNECT, Arc::default(), audit.clone());
            record.failed(StatusCode::FORBIDDEN, Rule::Allowlist, path, Ended::Refused);
        }
        assert_eq!(*paths.0.lock(), [None, Some("/a?b".to_owned())]);
    }
}
