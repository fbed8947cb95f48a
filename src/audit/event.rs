//! The lines of the access log and of the journal, as types: written and read by the same serde definitions.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{to_millis, to_three_digits};
use super::{AccessRecord, Ended, PeerName};
use crate::peer::printable;
use crate::sink::Notice;

/// A line of `access.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AccessEvent {
    /// A request ended.
    Request(AccessRecord),
    /// The proxy refused a peer before it had a request of it.
    PeerRefused(PeerRefused),
    /// The proxy cut a session. A request that this ended has a record of its own.
    SessionCut(SessionCut),
    /// Lines are missing here, since they could not be written.
    LinesLost(LinesLost),
}

/// A peer that was refused before there was a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerRefused {
    /// When.
    #[serde(serialize_with = "to_three_digits")]
    pub time: Timestamp,
    /// Who.
    #[serde(flatten)]
    pub peer: PeerName,
    /// The peer's address and port in the tailnet.
    pub addr: SocketAddr,
    /// The port of our node.
    pub port: u16,
    /// Why.
    pub rule: PeerRule,
    /// Details for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a peer was refused before there was a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerRule {
    /// The peer lost access while it connected.
    NoAccess,
    /// Too many connections are open.
    Connections,
    /// The head of the request took too long.
    HeadTime,
    /// The bytes are not an HTTP request.
    Malformed,
    /// The TLS handshake failed.
    Tls,
}

impl PeerRule {
    /// Every variant.
    pub const ALL: [PeerRule; 5] =
        [PeerRule::NoAccess, PeerRule::Connections, PeerRule::HeadTime, PeerRule::Malformed, PeerRule::Tls];

    /// The name in records and logs.
    pub fn name(self) -> &'static str {
        match self {
            PeerRule::NoAccess => "no-access",
            PeerRule::Connections => "connections",
            PeerRule::HeadTime => "head-time",
            PeerRule::Malformed => "malformed",
            PeerRule::Tls => "tls",
        }
    }
}

/// A session that the proxy cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionCut {
    /// When.
    #[serde(serialize_with = "to_three_digits")]
    pub time: Timestamp,
    /// Whose session it was.
    #[serde(flatten)]
    pub peer: PeerName,
    /// The peer's address and port in the tailnet.
    pub addr: SocketAddr,
    /// The port of our node.
    pub port: u16,
    /// Why.
    pub ended: Ended,
    /// The request that was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Lines that could not be written, in the access log or the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesLost {
    /// When writing worked again.
    #[serde(serialize_with = "to_three_digits")]
    pub time: Timestamp,
    /// How many lines are missing.
    pub lost: u64,
    /// Why the last of them could not be written.
    pub error: String,
}

impl From<&Notice<'_>> for LinesLost {
    fn from(notice: &Notice<'_>) -> Self {
        LinesLost { time: to_millis(notice.at), lost: notice.lost, error: notice.why.to_owned() }
    }
}

/// A line of `journal.jsonl`. Its fields tell the variants apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JournalEntry {
    /// A peer's access changed.
    Change(AccessChange),
    /// Lines are missing here, since they could not be written.
    LinesLost(LinesLost),
}

/// A peer's access to one port, as it has just changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessChange {
    /// When the proxy learned of it.
    #[serde(serialize_with = "to_three_digits")]
    pub time: Timestamp,
    /// What changed.
    pub access: ChangeKind,
    /// The port of our node.
    pub port: u16,
    /// Whose access it is.
    #[serde(flatten)]
    pub peer: PeerName,
    /// The values granted under the node's capability, as the policy file has them.
    pub grants: Vec<Value>,
    /// Why some of them grant nothing.
    pub faults: Vec<String>,
}

/// How a peer's access changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The peer had access when the proxy started.
    Present,
    /// The peer gained access.
    Gained,
    /// The peer's grants changed.
    Changed,
    /// The peer lost access.
    Lost,
}

impl ChangeKind {
    /// The name in the journal and in logs.
    pub fn name(self) -> &'static str {
        match self {
            ChangeKind::Present => "present",
            ChangeKind::Gained => "gained",
            ChangeKind::Changed => "changed",
            ChangeKind::Lost => "lost",
        }
    }
}

/// `value` as one line with its end. Characters that a terminal acts on are escaped within the JSON strings, so the
/// value reads back equal.
///
/// Nothing in these types fails to serialize; if it did, the line would say so and count as unreadable.
pub(super) fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|error| format!("cannot serialize: {error}"));
    let mut line = printable(&json).into_owned();
    line.push('\n');
    line
}

/// The notice of lost lines in the access log.
pub fn lost_in_access_log(notice: &Notice<'_>) -> String {
    line(&AccessEvent::LinesLost(notice.into())).trim_end().to_owned()
}

/// The notice of lost lines in the journal.
pub fn lost_in_journal(notice: &Notice<'_>) -> String {
    line(&JournalEntry::LinesLost(notice.into())).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
