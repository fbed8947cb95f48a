//! An event as the command reads it: one JSON object. docs/events.md describes each field.

use std::fmt;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventKind;
use crate::audit::{PeerName, now, to_three_digits};
use crate::peer::printable;

/// What is written to the standard input of the command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventReport {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// The MagicDNS name of the proxy's node; before it has joined, its hostname in the config.
    pub proxy: String,
    /// The event in one printable sentence, for people.
    pub message: String,
    /// How many events were dropped before this one, since too many waited.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Whether this is a sample from `test-event`: nothing has happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

impl EventReport {
    /// `event` at `proxy`, after `dropped` others were dropped.
    pub fn new(event: Event, proxy: &str, dropped: u64) -> Self {
        let message = printable(&event.occurrence.to_string()).into_owned();
        EventReport { event, proxy: proxy.to_owned(), message, dropped, test: false }
    }

    /// One line of JSON, its end included. Unprintable characters are escaped within the texts.
    ///
    /// Nothing in these types fails to serialize; if it did, the line would say so.
    pub fn line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_else(|error| format!("cannot serialize: {error}"));
        format!("{}\n", printable(&json))
    }
}

/// Something that has happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When the proxy learned of it.
    #[serde(serialize_with = "to_three_digits")]
    pub time: Timestamp,
    /// What has happened.
    #[serde(flatten)]
    pub occurrence: Occurrence,
    /// How many events about the same thing came since the command was last run for it, and were held back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub coalesced: u64,
}

impl Event {
    /// `occurrence`, now.
    pub fn now(occurrence: Occurrence) -> Self {
        Event { time: now(), occurrence, coalesced: 0 }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Occurrence {
    /// See [`EventKind::AccessGained`].
    AccessGained(AccessOf),
    /// See [`EventKind::AccessLost`].
    AccessLost(AccessOf),
    /// See [`EventKind::PeerRefused`].
    PeerRefused(PeerRefusedFirst),
    /// See [`EventKind::KeyExpires`].
    KeyExpires(KeyExpires),
    /// See [`EventKind::OllamaDown`].
    OllamaDown(OllamaDown),
    /// See [`EventKind::OllamaBack`].
    OllamaBack(OllamaUp),
    /// See [`EventKind::QuotaReached`].
    QuotaReached(QuotaReached),
    /// See [`EventKind::LogLost`].
    LogLost(LogLost),
}

/// A peer's access to a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessOf {
    /// Whose access it is.
    #[serde(flatten)]
    pub peer: PeerName,
    /// The port of our node.
    pub port: u16,
}

/// The first refusal of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerRefusedFirst {
    /// The device.
    #[serde(flatten)]
    pub peer: PeerName,
    /// Its address and port in the tailnet.
    pub addr: SocketAddr,
    /// The port of our node.
    pub port: u16,
    /// The rule that refused it.
    pub rule: String,
    /// The HTTP method. `None`: the connection was refused, before any request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The endpoint by its name in the config, if the request matched one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The path of a request without an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The model that the request was refused for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The key of the proxy's node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyExpires {
    /// When the key expires, or has expired.
    pub expires: Timestamp,
}

/// Ollama, which does not answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OllamaDown {
    /// `upstream.url`.
    pub upstream: String,
    /// Why.
    pub error: String,
}

/// Ollama, which answers again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OllamaUp {
    /// `upstream.url`.
    pub upstream: String,
}

/// A quota that is used up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuotaReached {
    /// What the quota counts by: a user's login name, or the stable id of a tagged device.
    pub identity: String,
    /// The device whose request was refused for it.
    #[serde(flatten)]
    pub peer: PeerName,
    /// The port of our node.
    pub port: u16,
    /// The rule that refused the request, which names the quota.
    pub rule: String,
}

/// A log with lines that can't be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLost {
    /// `log`, `access` or `journal`.
    pub log: String,
    /// Where its lines go.
    pub to: String,
    /// How many lines were lost since the process started.
    pub lost: u64,
    /// Why. `None`: lines can be written again by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Occurrence {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Occurrence::AccessGained(_) => EventKind::AccessGained,
            Occurrence::AccessLost(_) => EventKind::AccessLost,
            Occurrence::PeerRefused(_) => EventKind::PeerRefused,
            Occurrence::KeyExpires(_) => EventKind::KeyExpires,
            Occurrence::OllamaDown(_) => EventKind::OllamaDown,
            Occurrence::OllamaBack(_) => EventKind::OllamaBack,
            Occurrence::QuotaReached(_) => EventKind::QuotaReached,
            Occurrence::LogLost(_) => EventKind::LogLost,
        }
    }

    /// What it is about. Events of a kind and its opposite about the same thing are coalesced.
    pub(super) fn subject(&self) -> String {
        match self {
            Occurrence::AccessGained(of) | Occurrence::AccessLost(of) => {
                format!("access {} {}", of.port, of.peer.stable_id)
            }
            Occurrence::PeerRefused(refused) => format!("refused {}", refused.peer.stable_id),
            Occurrence::KeyExpires(_) => "key".to_owned(),
            Occurrence::OllamaDown(_) | Occurrence::OllamaBack(_) => "ollama".to_owned(),
            Occurrence::QuotaReached(quota) => format!("quota {} {}", quota.rule, quota.identity),
            Occurrence::LogLost(log) => format!("log {}", log.log),
        }
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |peer: &PeerName| format!("{} ({})", peer.node, peer.principal);
        match self {
            Occurrence::AccessGained(AccessOf { peer, port }) => {
                write!(f, "{} gained access to port {port}", named(peer))
            }
            Occurrence::AccessLost(AccessOf { peer, port }) => {
                write!(f, "{} lost access to port {port}", named(peer))
            }
            Occurrence::PeerRefused(refused) => {
                let PeerRefusedFirst { peer, port, rule, method, endpoint, path, .. } = refused;
                write!(f, "{} was refused for the first time, at port {port}, rule {rule}", named(peer))?;
                let asked = endpoint.as_ref().or(path.as_ref());
                match (method, asked) {
                    (Some(method), Some(asked)) => write!(f, ": {method} {asked}"),
                    _ => Ok(()),
                }
            }
            Occurrence::KeyExpires(KeyExpires { expires }) => {
                let tense = if *expires > Timestamp::now() { "expires" } else { "has expired" };
                write!(f, "the key of the proxy's node {tense}: {expires:.0}")
            }
            Occurrence::OllamaDown(OllamaDown { upstream, error }) => {
                write!(f, "Ollama does not answer at {upstream}: {error}")
            }
            Occurrence::OllamaBack(OllamaUp { upstream }) => write!(f, "Ollama answers again at {upstream}"),
            Occurrence::QuotaReached(QuotaReached { identity, rule, .. }) => {
                write!(f, "{identity} has used up a quota, rule {rule}")
            }
            Occurrence::LogLost(LogLost { to, lost, error, .. }) => {
                let lines = if *lost == 1 { "line" } else { "lines" };
                write!(f, "{lost} {lines} of {to} could not be written")?;
                error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
            }
        }
    }
}
