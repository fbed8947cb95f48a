//! The status of the running proxy.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::ready::{NotReady, Readiness};
use super::requests::{ListedRequest, Requests};
use crate::awake::AwakeState;
use crate::config::Config;
use crate::ollama::OllamaStatus;
use crate::panics;
use crate::preload::PreloadedModel;
use crate::proxy::{Load, Proxy};
use crate::sink::SinkState;
use crate::tailnet::{Member, NodeStatus};

/// The answer to `GET /status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The proxy's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// When the process started, as RFC 3339.
    pub since: String,
    /// Why it serves no requests; absent: it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<NotReady>,
    /// Tasks that ended in a panic.
    #[serde(default)]
    pub panics: u64,
    /// The tailnet node.
    pub node: NodeStatus,
    /// The upstream.
    pub ollama: OllamaStatus,
    /// The models of `models.preload`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preload: Vec<PreloadedModel>,
    /// Requests with a running slot.
    pub running: u32,
    /// Requests with a waiting slot.
    pub waiting: u32,
    /// Sessions.
    pub connections: usize,
    /// The limits of the three numbers above.
    pub limits: StatusLimits,
    /// Whether the machine is kept awake.
    #[serde(default)]
    pub awake: AwakeState,
    /// The running and waiting requests.
    pub requests: Vec<ListedRequest>,
    /// The diagnostics, the access log and the journal, with the lines that were lost.
    #[serde(default)]
    pub logs: Vec<SinkState>,
    /// The peers in the netmap, by name.
    pub peers: Vec<StatusPeer>,
    /// The config in force, a line for each setting, without secrets.
    pub config: Vec<(String, String)>,
}

/// The settings under `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusLimits {
    /// `limits.running`.
    pub running: u32,
    /// `limits.waiting`.
    pub waiting: u32,
    /// `limits.connections`.
    pub connections: usize,
}

/// One peer of the netmap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusPeer {
    /// The peer's name in the tailnet.
    pub node: String,
    /// The peer's user, or its tags.
    pub principal: String,
    /// Whether the control server sees it online.
    pub online: bool,
    /// See [`Member::direct`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<String>,
    /// See [`Member::relay`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Its sessions.
    pub connections: usize,
}

/// What a status is made of, apart from that of Ollama.
pub(super) struct StatusParts<'a> {
    pub(super) config: &'a Config,
    pub(super) proxy: &'a Proxy,
    pub(super) members: &'a [Member],
    pub(super) node: NodeStatus,
    pub(super) started: SystemTime,
    pub(super) preload: Vec<PreloadedModel>,
    pub(super) awake: AwakeState,
    pub(super) logs: Vec<SinkState>,
}

impl Status {
    pub(super) fn new(parts: StatusParts<'_>, ollama: OllamaStatus) -> Status {
        let StatusParts { config, proxy, members, node, started, preload, awake, logs } = parts;
        let sessions = proxy.sessions().all();
        let Load { running, waiting } = proxy.load();
        // With a version Ollama serves requests, even if the list of loaded models failed.
        let ollama_fault = ollama.fault.as_deref().filter(|_| ollama.version.is_none());
        let readiness = Readiness {
            stopping: proxy.is_stopping(),
            plain_http: config.plain_http,
            node: &node,
            ollama_fault,
        };
        let own_sessions =
            |member: &Member| sessions.iter().filter(|s| s.peer.stable_id == member.stable_id).count();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: crate::time::format_rfc3339_seconds(started),
            not_ready: readiness.not_ready(),
            panics: panics::count(),
            node,
            preload,
            running,
            waiting,
            connections: sessions.len(),
            limits: StatusLimits {
                running: config.limits.running,
                waiting: config.limits.waiting,
                connections: config.limits.connections,
            },
            awake,
            requests: Requests::new(&sessions).requests,
            logs,
            peers: members.iter().map(|member| peer(member, own_sessions(member))).collect(),
            config: listing(config),
            ollama,
        }
    }

    /// The time since the process started.
    pub fn uptime(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(crate::time::parse_rfc3339(&self.since).ok()?).ok()
    }
}

fn listing(config: &Config) -> Vec<(String, String)> {
    let endpoints: Vec<_> = config.endpoints.iter().map(|e| e.name()).collect();
    let all = config.listing().into_iter().chain([("endpoints", endpoints.join(", "))]);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn peer(member: &Member, connections: usize) -> StatusPeer {
    StatusPeer {
        node: member.node.clone(),
        principal: member.principal(),
        online: member.online,
        direct: member.direct.clone(),
        relay: member.relay.clone(),
        connections,
    }
}
