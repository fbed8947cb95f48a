//! One record for each request when it ends: who, what, the outcome. Never content.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};

use crate::peer::Peer;
use crate::policy::Endpoint;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The answer went out whole.
    Complete,
    /// The proxy answered by itself.
    Refused,
    /// The client was gone before the answer was whole.
    ClientLeft,
    /// Ollama could not be reached or broke off.
    UpstreamFailed,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Ended::Complete => "complete",
            Ended::Refused => "refused",
            Ended::ClientLeft => "client-left",
            Ended::UpstreamFailed => "upstream-failed",
        }
    }
}

/// What is known of a request so far.
#[derive(Debug)]
pub struct Record {
    peer: Arc<Peer>,
    method: Method,
    started: Instant,
    status: StatusCode,
    /// The endpoint, once the policy has permitted the request.
    pub endpoint: Option<Endpoint>,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
}

impl Record {
    /// A request has begun.
    pub fn new(peer: Arc<Peer>, method: &Method) -> Self {
        Record {
            peer,
            method: method.clone(),
            started: Instant::now(),
            status: StatusCode::OK,
            endpoint: None,
            bytes_out: 0,
        }
    }

    /// Ollama has answered with `status`.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// The answer has ended.
    pub fn end(&mut self, ended: Ended) {
        tracing::info!(
            target: "access",
            peer = %self.peer,
            method = %self.method,
            endpoint = self.endpoint.map(Endpoint::name),
            status = self.status.as_u16(),
            bytes_out = self.bytes_out,
            ms = self.started.elapsed().as_millis() as u64,
            ended = ended.name(),
        );
    }

    /// The proxy answers by itself. `path` is the client's and may hold anything.
    pub fn failed(&mut self, status: StatusCode, rule: &str, path: &str, reason: &dyn std::fmt::Display) {
        tracing::info!(
            target: "access",
            peer = %self.peer,
            method = %self.method,
            path = ?path.chars().take(100).collect::<String>(),
            status = status.as_u16(),
            rule,
            %reason,
            ms = self.started.elapsed().as_millis() as u64,
            ended = Ended::Refused.name(),
        );
    }
}
