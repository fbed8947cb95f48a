//! The requests that run or wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::proxy::Session;

/// The answer to `requests`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requests {
    /// The oldest first.
    pub requests: Vec<Request>,
}

/// A request that runs or waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// As in its record.
    pub id: String,
    /// The peer's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// By its name in the config.
    pub endpoint: String,
    /// When its head had arrived, as RFC 3339.
    pub since: String,
    /// Whether its turn has come.
    pub state: State,
    /// Bytes of its body that went on to Ollama.
    pub bytes_in: u64,
    /// Bytes of its answer's body that came from Ollama.
    pub bytes_out: u64,
}

impl Request {
    /// How old it is.
    pub fn age(&self, now: SystemTime) -> Duration {
        let since = humantime::parse_rfc3339(&self.since).unwrap_or(now);
        now.duration_since(since).unwrap_or_default()
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its turn.
    Waiting,
    /// Ollama has it.
    Running,
}

/// The answer to `cancel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Whether there was such a request.
    pub cancelled: bool,
}

impl Requests {
    /// Those on `sessions`.
    pub fn new(sessions: &[Arc<Session>]) -> Requests {
        let mut requests: Vec<_> = sessions.iter().filter_map(|s| Some((s, s.request()?))).collect();
        requests.sort_by_key(|(_, request)| request.since);
        let listed = requests.into_iter().map(|(session, request)| Request {
            since: humantime::format_rfc3339_millis(SystemTime::now() - request.since.elapsed()).to_string(),
            id: request.id,
            node: session.peer.node.clone(),
            principal: session.peer.principal(),
            endpoint: request.endpoint.name().to_owned(),
            state: if request.running { State::Running } else { State::Waiting },
            bytes_in: request.traffic.bytes_in.load(Ordering::Relaxed),
            bytes_out: request.traffic.bytes_out.load(Ordering::Relaxed),
        });
        Requests { requests: listed.collect() }
    }
}
