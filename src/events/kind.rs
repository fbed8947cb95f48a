//! The names of the events.

use serde::{Deserialize, Serialize};

/// What happened. The name is the same in the config, in the JSON and in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A peer gained access to a port.
    AccessGained,
    /// A peer lost access to a port.
    AccessLost,
    /// A device was refused by a rule about access, for the first time.
    PeerRefused,
    /// The node's key expires soon, or has expired.
    KeyExpires,
    /// Ollama does not answer.
    OllamaDown,
    /// Ollama answers again.
    OllamaBack,
    /// An identity has used up a quota.
    QuotaReached,
    /// Lines of a log can't be written.
    LogLost,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [EventKind; 8] = [
        EventKind::AccessGained,
        EventKind::AccessLost,
        EventKind::PeerRefused,
        EventKind::KeyExpires,
        EventKind::OllamaDown,
        EventKind::OllamaBack,
        EventKind::QuotaReached,
        EventKind::LogLost,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::AccessGained => "access-gained",
            EventKind::AccessLost => "access-lost",
            EventKind::PeerRefused => "peer-refused",
            EventKind::KeyExpires => "key-expires",
            EventKind::OllamaDown => "ollama-down",
            EventKind::OllamaBack => "ollama-back",
            EventKind::QuotaReached => "quota-reached",
            EventKind::LogLost => "log-lost",
        }
    }

    /// The kind with this name.
    ///
    /// # Errors
    /// The names that exist.
    pub fn named(name: &str) -> Result<EventKind, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("expected names of events: {}", Self::ALL.map(EventKind::name).join(", ")))
    }

    /// The kind that undoes this one, if there is one.
    pub(super) fn opposite(self) -> Option<EventKind> {
        match self {
            EventKind::AccessGained => Some(EventKind::AccessLost),
            EventKind::AccessLost => Some(EventKind::AccessGained),
            EventKind::OllamaDown => Some(EventKind::OllamaBack),
            EventKind::OllamaBack => Some(EventKind::OllamaDown),
            EventKind::PeerRefused | EventKind::KeyExpires | EventKind::QuotaReached | EventKind::LogLost => {
                None
            }
        }
    }
}
