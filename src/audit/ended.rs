//! How a request ended, or why a session was cut.

use serde::{Deserialize, Serialize};

/// How a request ended. Also why a session was cut, where that ended the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The client got the whole answer.
    Complete,
    /// The proxy refused the request.
    Refused,
    /// The client disconnected before the answer was complete.
    ClientLeft,
    /// A timeout of the client passed: it stopped sending its body, or stopped reading the answer.
    TimedOut,
    /// The peer lost access while the request ran.
    Revoked,
    /// The netmap was unreadable for so long that the peer's access could not be confirmed.
    Unconfirmed,
    /// The node itself left the tailnet: its key expired, or it was logged out.
    OutOfTailnet,
    /// The operator or an admin of the page cancelled the request while it ran or waited.
    Cancelled,
    /// The proxy stopped before the answer was complete.
    Stopped,
    /// Ollama was unreachable, or it broke off.
    UpstreamFailed,
}

impl Ended {
    /// Every variant.
    pub const ALL: [Ended; 10] = [
        Ended::Complete,
        Ended::Refused,
        Ended::ClientLeft,
        Ended::TimedOut,
        Ended::Revoked,
        Ended::Unconfirmed,
        Ended::OutOfTailnet,
        Ended::Cancelled,
        Ended::Stopped,
        Ended::UpstreamFailed,
    ];

    /// The name in records, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Ended::Complete => "complete",
            Ended::Refused => "refused",
            Ended::ClientLeft => "client-left",
            Ended::TimedOut => "timed-out",
            Ended::Revoked => "revoked",
            Ended::Unconfirmed => "unconfirmed",
            Ended::OutOfTailnet => "out-of-tailnet",
            Ended::Cancelled => "cancelled",
            Ended::Stopped => "stopped",
            Ended::UpstreamFailed => "upstream-failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_the_serialized_form() {
        for ended in Ended::ALL {
            assert_eq!(serde_json::json!(ended), ended.name());
        }
    }
}
