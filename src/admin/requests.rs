//! The list of running and waiting requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::proxy::Session;

/// The answer to `GET /requests`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requests {
    /// Oldest first.
    pub requests: Vec<ListedRequest>,
}

/// One request that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRequest {
    /// As in its access record.
    pub id: String,
    /// The peer's name in the tailnet.
    pub node: String,
    /// The peer's user, or its tags.
    pub principal: String,
    /// The endpoint's name in the config.
    pub endpoint: String,
    /// When its head had arrived, as RFC 3339.
    pub since: String,
    /// Whether it has a running slot.
    pub state: RequestState,
    /// Body bytes sent to Ollama.
    pub bytes_in: u64,
    /// Body bytes of the answer received from Ollama.
    pub bytes_out: u64,
}

impl ListedRequest {
    /// The time since its head had arrived.
    pub fn age(&self, now: SystemTime) -> Duration {
        let since = crate::time::parse_rfc3339(&self.since).unwrap_or(now);
        now.duration_since(since).unwrap_or_default()
    }
}

/// The kind of slot that a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// A waiting slot.
    Waiting,
    /// A running slot: Ollama works on the request.
    Running,
}

/// The answer to `POST /requests/ID/cancel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelAnswer {
    /// False if there is no such request.
    pub cancelled: bool,
}

impl Requests {
    /// The requests on `sessions`.
    pub fn new(sessions: &[Arc<Session>]) -> Requests {
        let mut requests: Vec<_> = sessions.iter().filter_map(|s| Some((s, s.request()?))).collect();
        requests.sort_by_key(|(_, request)| request.since);
        let listed = requests.into_iter().map(|(session, request)| ListedRequest {
            since: crate::time::format_rfc3339_millis(SystemTime::now() - request.since.elapsed()),
            id: request.id,
            node: session.peer.node.clone(),
            principal: session.peer.principal(),
            endpoint: request.endpoint.name().to_owned(),
            state: if request.running { RequestState::Running } else { RequestState::Waiting },
            bytes_in: request.traffic.bytes_in.load(Ordering::Relaxed),
            bytes_out: request.traffic.bytes_out.load(Ordering::Relaxed),
        });
        Requests { requests: listed.collect() }
    }
}
