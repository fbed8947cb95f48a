//! The status of the running proxy.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::requests::{ListedRequest, Requests};
use crate::config::{Config, PlainHttp};
use crate::ollama::OllamaStatus;
use crate::panics;
use crate::proxy::Proxy;
use crate::sink::SinkState;
use crate::tailnet::{Member, Situation};

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
    pub node: Situation,
    /// The upstream.
    pub ollama: OllamaStatus,
    /// Requests with a running slot.
    pub running: u32,
    /// Requests with a waiting slot.
    pub waiting: u32,
    /// Sessions.
    pub connections: usize,
    /// The limits of the three numbers above.
    pub limits: StatusLimits,
    /// The running and waiting requests.
    pub requests: Vec<ListedRequest>,
    /// The log and the journal, with the lines that were lost.
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

/// Why no requests are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// The part at fault.
    pub what: NotReadyCause,
    /// What is wrong, in a sentence.
    pub reason: String,
}

/// The part that keeps the proxy from serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotReadyCause {
    /// The proxy itself, which is stopping.
    Stopping,
    /// The tailnet node.
    Node,
    /// The certificate is missing, and only HTTPS is served.
    Certificate,
    /// Ollama.
    Ollama,
}

/// What keeps requests from being answered. The part that a request reaches first comes first. `https_only`: plain HTTP
/// is not served. `ollama_fault`: why Ollama does not answer.
pub(super) fn not_ready(
    stopping: bool,
    https_only: bool,
    node: &Situation,
    ollama_fault: Option<&str>,
) -> Option<NotReady> {
    let because = |what, reason| Some(NotReady { what, reason });
    if stopping {
        return because(NotReadyCause::Stopping, "the proxy is stopping".to_owned());
    }
    if node.state == "Starting" && node.error.is_none() && !node.has_joined() {
        return because(NotReadyCause::Node, "joining: the tailnet has not admitted the node yet".to_owned());
    }
    if let Some(reason) = &node.deleted {
        return because(NotReadyCause::Node, reason.clone());
    }
    if !node.is_running() {
        let more = node.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        return because(
            NotReadyCause::Node,
            format!("the tailnet node is in the state {}{more}", node.state),
        );
    }
    let missing = node.certificate.as_ref().filter(|certificate| https_only && certificate.expiry.is_none());
    if let Some(certificate) = missing {
        return because(
            NotReadyCause::Certificate,
            format!("only HTTPS is served (listen.http), and there is no certificate: {certificate}"),
        );
    }
    because(NotReadyCause::Ollama, ollama_fault?.to_owned())
}

/// What a status is made of, apart from that of Ollama.
pub(super) struct StatusParts<'a> {
    pub(super) config: &'a Config,
    pub(super) proxy: &'a Proxy,
    pub(super) members: &'a [Member],
    pub(super) node: Situation,
    pub(super) started: SystemTime,
    pub(super) stopping: bool,
    pub(super) logs: Vec<SinkState>,
}

impl Status {
    pub(super) fn new(parts: StatusParts<'_>, ollama: OllamaStatus) -> Status {
        let StatusParts { config, proxy, members, node, started, stopping, logs } = parts;
        let sessions = proxy.live().sessions();
        let (running, waiting) = proxy.load();
        // With a version Ollama serves requests, even if the list of loaded models failed.
        let down = ollama.fault.as_deref().filter(|_| ollama.version.is_none());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: humantime::format_rfc3339_seconds(started).to_string(),
            not_ready: not_ready(stopping, config.plain_http != PlainHttp::Serve, &node, down),
            panics: panics::count(),
            node,
            running,
            waiting,
            connections: sessions.len(),
            limits: StatusLimits {
                running: config.limits.running,
                waiting: config.limits.waiting,
                connections: config.limits.connections,
            },
            requests: Requests::new(&sessions).requests,
            logs,
            peers: members
                .iter()
                .map(|member| {
                    let own = sessions.iter().filter(|s| s.peer.stable_id == member.stable_id);
                    peer(member, own.count())
                })
                .collect(),
            config: listing(config),
            ollama,
        }
    }

    /// The time since the process started.
    pub fn uptime(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(humantime::parse_rfc3339(&self.since).ok()?).ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tailnet::Certificate;

    #[test]
    fn not_ready_names_the_first_part_that_a_request_would_reach() {
        let node = |state: &str, error: Option<&str>| Situation {
            state: state.to_owned(),
            error: error.map(str::to_owned),
            ..Situation::default()
        };
        let up = node("Running", None);
        let reason_of = |stopping, node: &Situation, ollama| {
            not_ready(stopping, true, node, ollama).map(|NotReady { what, reason }| (what, reason))
        };
        assert_eq!(reason_of(false, &up, None), None);
        let (what, reason) = reason_of(false, &up, Some("refused")).unwrap();
        assert_eq!((what, &*reason), (NotReadyCause::Ollama, "refused"));
        let expired = node("NeedsLogin", Some("the node key expired"));
        let (what, reason) = reason_of(false, &expired, Some("refused")).unwrap();
        assert_eq!(what, NotReadyCause::Node);
        assert_eq!(reason, "the tailnet node is in the state NeedsLogin: the node key expired");
        assert_eq!(reason_of(false, &node("Running", Some("logs")), None).unwrap().0, NotReadyCause::Node);
        assert_eq!(reason_of(true, &up, None).unwrap().0, NotReadyCause::Stopping);
        let deleted = Situation { deleted: Some("it was deleted".to_owned()), ..up.clone() };
        assert_eq!(
            reason_of(false, &deleted, None).unwrap(),
            (NotReadyCause::Node, "it was deleted".to_owned())
        );
        let mut uncertified = Situation { certificate: Some(Certificate::default()), ..up.clone() };
        assert_eq!(reason_of(false, &uncertified, Some("refused")).unwrap().0, NotReadyCause::Certificate);
        assert_eq!(not_ready(false, false, &uncertified, None), None);
        uncertified.certificate =
            Some(Certificate { expiry: Some("2026-12-01T12:00:00Z".to_owned()), ..Certificate::default() });
        assert_eq!(reason_of(false, &uncertified, None), None);
        let mut starting = node("Starting", None);
        let (_, reason) = reason_of(false, &starting, None).unwrap();
        assert_eq!(reason, "joining: the tailnet has not admitted the node yet");
        // A node that was in the tailnet before.
        starting.addresses = vec!["100.64.0.1".parse().unwrap()];
        let (_, reason) = reason_of(false, &starting, None).unwrap();
        assert_eq!(reason, "the tailnet node is in the state Starting");
    }
}
