//! The tailnet's answer about one peer.

use std::net::SocketAddr;

use serde_json::Value;

use crate::peer::Peer;

/// What the tailnet policy says about one peer at one of our ports.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Verdict {
    /// The peer may not connect. Every failure to find out ends here.
    #[default]
    Refuse,
    /// The peer may connect.
    Admit {
        /// The values that the policy grants the peer under this node's capability.
        grants: Vec<Value>,
    },
}

impl Verdict {
    /// Whether the peer may connect.
    pub fn admits(&self) -> bool {
        matches!(self, Verdict::Admit { .. })
    }
}

/// Resolves a peer to a verdict: the tailnet node, or a test.
pub trait Authorizer: Send + Sync + 'static {
    /// The verdict, by the policy of this moment, on `peer` connecting to our address `local`.
    fn verdict(&self, peer: &Peer, local: SocketAddr) -> Verdict;
}
