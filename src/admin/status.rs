//! How the running proxy is.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::ollama::Ollama;
use super::requests::{Request, Requests};
use crate::config::{Config, PlainHttp};
use crate::panics;
use crate::proxy::Proxy;
use crate::sink::SinkState;
use crate::tailnet::{Member, NodeStatus};

/// The answer to `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the proxy.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started, as RFC 3339.
    pub since: String,
    /// Why it serves nobody; absent: it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<NotReady>,
    /// Tasks that a fault in the program has ended.
    #[serde(default)]
    pub panics: u64,
    /// The node in the tailnet.
    pub node: NodeStatus,
    /// What stands behind it.
    pub ollama: Ollama,
    /// Requests that run.
    pub running: u32,
    /// Requests that wait for their turn.
    pub waiting: u32,
    /// Open connections.
    pub connections: usize,
    /// The most that there may be of each.
    pub limits: Most,
    /// What runs and what waits.
    pub requests: Vec<Request>,
    /// The log and the journal: lines that were lost, and why.
    #[serde(default)]
    pub logs: Vec<SinkState>,
    /// Everybody in the netmap, by name.
    pub peers: Vec<StatusPeer>,
    /// The config in force, a line for each setting, without secrets.
    pub config: Vec<(String, String)>,
}

/// The settings under `[limits]` that the numbers are to be held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Most {
    /// `limits.running`.
    pub running: u32,
    /// `limits.waiting`.
    pub waiting: u32,
    /// `limits.connections`.
    pub connections: usize,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusPeer {
    /// Its name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// Whether the control server sees it online.
    pub online: bool,
    /// See [`Member::direct`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<String>,
    /// See [`Member::relay`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Its open connections.
    pub connections: usize,
}

/// Why nobody is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// What it is about.
    pub what: What,
    /// In words.
    pub reason: String,
}

/// What keeps the proxy from serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It has been told to stop.
    Stopping,
    /// The tailnet node.
    Node,
    /// There is no certificate, and without HTTPS nobody may ask.
    Certificate,
    /// Ollama.
    Ollama,
}

/// What keeps requests from being answered, the outermost first. `only_https` is whether nobody may ask otherwise.
pub(super) fn not_ready(
    stopping: bool,
    only_https: bool,
    node: &NodeStatus,
    ollama: Option<&str>,
) -> Option<NotReady> {
    let because = |what, reason| Some(NotReady { what, reason });
    if stopping {
        return because(What::Stopping, "the proxy has been told to stop".to_owned());
    }
    if node.state == "Starting" && node.error.is_none() && !node.has_joined() {
        return because(What::Node, "joining: the tailnet has not let the node in yet".to_owned());
    }
    if let Some(reason) = &node.deleted {
        return because(What::Node, reason.clone());
    }
    if !node.is_running() {
        let more = node.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        return because(What::Node, format!("the tailnet node is in the state {}{more}", node.state));
    }
    let lacking = node.certificate.as_ref().filter(|certificate| only_https && certificate.expiry.is_none());
    if let Some(certificate) = lacking {
        return because(
            What::Certificate,
            format!("nobody may ask but by HTTPS (listen.http): {certificate}"),
        );
    }
    because(What::Ollama, format!("Ollama does not answer: {}", ollama?))
}

/// What a status is made from, beside Ollama's word.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) proxy: &'a Proxy,
    pub(super) roster: &'a [Member],
    pub(super) node: NodeStatus,
    pub(super) started: SystemTime,
    pub(super) stopping: bool,
    pub(super) logs: Vec<SinkState>,
}

impl Status {
    pub(super) fn new(parts: Parts<'_>, ollama: Ollama) -> Status {
        let Parts { config, proxy, roster, node, started, stopping, logs } = parts;
        let sessions = proxy.live().sessions();
        let (running, waiting) = proxy.load();
        // With a version it answers; what it says of its models is worth knowing, but no more.
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
            limits: Most {
                running: config.limits.running,
                waiting: config.limits.waiting,
                connections: config.limits.connections,
            },
            requests: Requests::new(&sessions).requests,
            logs,
            peers: roster
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

    /// For how long the proxy has been running.
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
    use crate::tailnet::CertificateStatus;

    #[test]
    fn what_is_in_the_way_is_told_the_outermost_first() {
        let node = |state: &str, error: Option<&str>| NodeStatus {
            state: state.to_owned(),
            error: error.map(str::to_owned),
            ..NodeStatus::default()
        };
        let up = node("Running", None);
        let told = |stopping, node: &NodeStatus, ollama| {
            not_ready(stopping, true, node, ollama).map(|NotReady { what, reason }| (what, reason))
        };
        assert_eq!(told(false, &up, None), None);
        let (what, reason) = told(false, &up, Some("refused")).unwrap();
        assert_eq!((what, &*reason), (What::Ollama, "Ollama does not answer: refused"));
        let expired = node("NeedsLogin", Some("the node key expired"));
        let (what, reason) = told(false, &expired, Some("refused")).unwrap();
        assert_eq!(what, What::Node);
        assert_eq!(reason, "the tailnet node is in the state NeedsLogin: the node key expired");
        assert_eq!(told(false, &node("Running", Some("logs")), None).unwrap().0, What::Node);
        assert_eq!(told(true, &up, None).unwrap().0, What::Stopping);
        let deleted = NodeStatus { deleted: Some("it was deleted".to_owned()), ..up.clone() };
        assert_eq!(told(false, &deleted, None).unwrap(), (What::Node, "it was deleted".to_owned()));
        let mut uncertified = NodeStatus { certificate: Some(CertificateStatus::default()), ..up.clone() };
        assert_eq!(told(false, &uncertified, Some("refused")).unwrap().0, What::Certificate);
        assert_eq!(not_ready(false, false, &uncertified, None), None);
        uncertified.certificate = Some(CertificateStatus {
            expiry: Some("2026-12-01T12:00:00Z".to_owned()),
            ..CertificateStatus::default()
        });
        assert_eq!(told(false, &uncertified, None), None);
        let mut starting = node("Starting", None);
        let (_, reason) = told(false, &starting, None).unwrap();
        assert_eq!(reason, "joining: the tailnet has not let the node in yet");
        // One that was in the tailnet already.
        starting.addresses = vec!["100.64.0.1".parse().unwrap()];
        let (_, reason) = told(false, &starting, None).unwrap();
        assert_eq!(reason, "the tailnet node is in the state Starting");
    }
}
