//! What can go wrong with a tailnet node, told apart by what somebody has to do about it.

/// A failure of the tailnet node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The control server does not accept the auth key or the OAuth client secret.
    #[error("the tailnet does not accept the auth key or client secret: {reason}")]
    KeyInvalid {
        /// The control server's words.
        reason: String,
    },
    /// The auth key or the node key has expired.
    #[error("the key has expired: {reason}")]
    KeyExpired {
        /// The control server's words.
        reason: String,
    },
    /// Somebody must log the node in.
    #[error("the tailnet does not know this node")]
    LoginNeeded {
        /// The control server's page for it, as long as this process lives.
        url: String,
    },
    /// An admin of the tailnet must approve the device.
    #[error("the device waits for approval by an admin of the tailnet")]
    ApprovalPending,
    /// The control server did not answer before the deadline.
    #[error("the control server can't be reached: {reason}")]
    ControlUnreachable {
        /// What was tried and what happened.
        reason: String,
    },
    /// The OAuth client secret was not exchanged for an auth key, for a reason that may pass.
    #[error("Tailscale's API gives no auth key now: {reason}")]
    ExchangeFailed {
        /// What was tried and what happened.
        reason: String,
    },
    /// The tailnet requires its nodes to upload their logs, which this node never does.
    #[error("this tailnet requires its nodes to upload their logs, which this node never does")]
    LoggingRequired,
    /// The state folder can't be made, read, written or locked.
    #[error("{reason}")]
    StateUnusable {
        /// The folder and what is wrong with it.
        reason: String,
    },
    /// The node or the listener has been closed.
    #[error("the tailnet node is closed")]
    Closed,
    /// Whoever waited for [`Node::up`](super::Node::up) gave up.
    #[error("coming up was cancelled")]
    Canceled,
    /// Anything else, in the library's words.
    #[error("{0}")]
    Other(String),
}
