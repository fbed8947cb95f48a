//! The access record: what the proxy keeps of one ended request. docs/access-log.md describes each field.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize, Serializer};

use super::Ended;
use crate::peer::Peer;
use crate::usage::Tokens;

/// The name for each model that Ollama does not list, and for requests that name no certain model.
pub const OTHER_MODEL: &str = "other";

/// One ended request. Never content: no body, query, prompt, header or key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// When the request ended.
    #[serde(serialize_with = "to_three_digits")]
    pub time: Timestamp,
    /// The request's id, unique on this machine.
    pub id: String,
    /// The peer that sent it.
    #[serde(flatten)]
    pub peer: PeerName,
    /// The peer's address and port in the tailnet.
    pub addr: SocketAddr,
    /// The port of our node that it was sent to.
    pub port: u16,
    /// The HTTP method, at most 20 characters.
    pub method: String,
    /// The endpoint's name in the config. `None`: the request was refused before the policy matched one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Cow<'static, str>>,
    /// The path of a refused request without endpoint: at most 100 printable ASCII characters. `None` also if it has
    /// none, as with CONNECT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status of the answer, if the client got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The rule by which the proxy answered instead of Ollama.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Cow<'static, str>>,
    /// The model: as Ollama lists it or [`OTHER_MODEL`], where usage is counted; as the client sent it, if the request was
    /// refused for it. See [`used_model`](AccessRecord::used_model).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Bytes of the request's body that were sent to Ollama.
    pub bytes_in: u64,
    /// Bytes of the answer's body that came from Ollama.
    pub bytes_out: u64,
    /// The tokens that the answer reported. `None`: tokens were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// The wait for a running slot. `None`: the request got none.
    #[serde(default, rename = "queue_ms", skip_serializing_if = "Option::is_none")]
    pub queued: Option<Millis>,
    /// From the head of the request to the first byte of Ollama's answer, if there was one.
    #[serde(default, rename = "first_byte_ms", skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Millis>,
    /// From the head of the request to its end.
    #[serde(rename = "ms")]
    pub took: Millis,
    /// How the request ended.
    pub ended: Ended,
}

impl AccessRecord {
    /// The rule that refused the request. A rule also names the proxy's own answer when Ollama fails, and its
    /// redirect to HTTPS: neither is a refusal.
    pub fn refused_by(&self) -> Option<&str> {
        let redirected = self.status.is_some_and(|status| (300..400).contains(&status));
        self.rule.as_deref().filter(|_| !redirected && self.ended != Ended::UpstreamFailed)
    }

    /// The model that the request counts for in usage by model, by its name in Ollama's list or [`OTHER_MODEL`]. A model
    /// that the request was refused for is none: a client can send any name.
    pub fn used_model(&self) -> Option<&str> {
        self.model.as_deref().filter(|_| self.refused_by().is_none())
    }

    /// Whether the proxy accepted the request and it failed: Ollama was down, broke off, or answered with 5xx.
    pub fn has_failed(&self) -> bool {
        let server_error = self.status.is_some_and(|status| status >= 500);
        self.ended == Ended::UpstreamFailed || server_error && self.refused_by().is_none()
    }
}

/// The names of a peer, as records have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerName {
    /// The device's MagicDNS name.
    pub node: String,
    /// The device's stable id.
    pub stable_id: String,
    /// Its user's login name, or its tags.
    pub principal: String,
}

impl PeerName {
    /// The login name of a user, or the stable id of a tagged device; see [`Peer::identity`].
    pub fn identity(&self) -> &str {
        if self.is_tagged() { &self.stable_id } else { &self.principal }
    }

    /// Whether the device acts as its tags, without a user.
    pub fn is_tagged(&self) -> bool {
        acts_as_tags(&self.principal)
    }
}

/// Whether a principal is that of a tagged device, not a user.
pub(crate) fn acts_as_tags(principal: &str) -> bool {
    principal.is_empty() || principal.starts_with("tag:")
}

impl From<&Peer> for PeerName {
    fn from(peer: &Peer) -> Self {
        PeerName { node: peer.node.clone(), stable_id: peer.stable_id.clone(), principal: peer.principal() }
    }
}

/// A duration as records have it: milliseconds, to the microsecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "f64", from = "f64")]
pub struct Millis(Duration);

impl Millis {
    /// The same as a [`Duration`].
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Millis(Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl From<f64> for Millis {
    /// A negative number becomes 0, one that is too large the largest duration.
    fn from(ms: f64) -> Self {
        Millis(Duration::from_micros((ms * 1000.0).round() as u64))
    }
}

impl From<Millis> for f64 {
    fn from(millis: Millis) -> Self {
        millis.0.as_micros() as f64 / 1000.0
    }
}

/// This moment, to the millisecond.
pub(super) fn now() -> Timestamp {
    to_millis(Timestamp::now())
}

pub(super) fn to_millis(at: Timestamp) -> Timestamp {
    at.round(Unit::Millisecond).unwrap_or(at)
}

/// Writes a time with three digits of its second, so that the order of the texts is the order of the times.
pub(super) fn to_three_digits<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{at:.3}"))
}
