//! Failures of the tailnet node, by their remedy.

/// A failure of the tailnet node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The control server does not accept the auth key or the OAuth client secret.
    #[error("the tailnet does not accept the auth key or client secret: {reason}")]
    KeyInvalid {
        /// From the control server.
        reason: String,
    },
    /// The auth key or the node key has expired.
    #[error("the key has expired: {reason}")]
    KeyExpired {
        /// From the control server.
        reason: String,
    },
    /// A user must log the node in.
    #[error("the tailnet does not know this node")]
    LoginNeeded {
        /// The control server's login page. It is valid while this process runs.
        url: String,
    },
    /// An admin of the tailnet must approve the device.
    #[error("the device waits for approval by an admin of the tailnet")]
    ApprovalPending,
    /// The control server did not answer before the deadline.
    #[error("the control server can't be reached: {reason}")]
    ControlUnreachable {
        /// The last obstacle.
        reason: String,
    },
    /// The exchange of the OAuth client secret for an auth key failed and may be retried.
    #[error("Tailscale's API gives no auth key now: {reason}")]
    ExchangeFailed {
        /// What failed.
        reason: String,
    },
    /// The tailnet requires its nodes to upload their logs, which this node never does.
    #[error("this tailnet requires its nodes to upload their logs, which this node never does")]
    LoggingRequired,
    /// The state folder can't be made, read, written or locked.
    #[error("{reason}")]
    StateUnusable {
        /// What failed, with the folder.
        reason: String,
    },
    /// The node or the listener has been closed.
    #[error("the tailnet node is closed")]
    Closed,
    /// The caller of [`Node::up`](super::Node::up) cancelled.
    #[error("coming up was cancelled")]
    Canceled,
    /// Any other failure.
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::super::ffi::Failure;
    use super::*;

    #[test]
    fn each_kind_of_failure_is_an_error_of_its_own() {
        let reason = || "why".to_owned();
        for (kind, error) in [
            (1, Error::Other(reason())),
            (2, Error::Closed),
            (3, Error::Canceled),
            (4, Error::KeyInvalid { reason: reason() }),
            (5, Error::KeyExpired { reason: reason() }),
            (6, Error::LoginNeeded { url: "https://c/a/1".to_owned() }),
            (7, Error::ApprovalPending),
            (8, Error::ControlUnreachable { reason: reason() }),
            (9, Error::LoggingRequired),
            (10, Error::StateUnusable { reason: reason() }),
            (11, Error::ExchangeFailed { reason: reason() }),
        ] {
            let json = format!(r#"{{"kind":{kind},"error":"why","login_url":"https://c/a/1"}}"#);
            let failure: Failure = serde_json::from_str(&json).unwrap();
            assert_eq!(Error::from(failure), error, "kind {kind}");
        }
    }
}
