//! The tailnet's word on a peer, from the node.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::sync::watch;

use crate::config::Config;
use crate::peer::Peer;
use crate::tailnet::{Authorizer, NodeStatus, Verdict};
use crate::tsnet::{Error, Node};

/// Asks the node's live packet filter. Until there is a node, and while it is out of the tailnet, nobody
/// is admitted.
pub(super) struct NodeAuthorizer {
    node: OnceLock<Arc<Node>>,
    config: watch::Receiver<Arc<Config>>,
    situation: watch::Receiver<NodeStatus>,
}

impl NodeAuthorizer {
    pub(super) fn new(config: watch::Receiver<Arc<Config>>, situation: watch::Receiver<NodeStatus>) -> Self {
        NodeAuthorizer { node: OnceLock::new(), config, situation }
    }

    /// From now on this node is asked; there is but one.
    pub(super) fn ask_of(&self, node: Arc<Node>) {
        let _ = self.node.set(node);
    }

    fn ask(&self, peer: &Peer, local: SocketAddr) -> Result<Verdict, Error> {
        // The filter stays as it was when the node leaves the tailnet.
        if self.situation.borrow().out_of_tailnet().is_some() {
            return Ok(Verdict::Refuse);
        }
        let node = self.node.get().ok_or(Error::Closed)?;
        let src = peer.addr.ip();
        if !node.check_access(src, local)? {
            return Ok(Verdict::Refuse);
        }
        let mut granted = node.capabilities(src, local)?;
        let grants = match granted.get_mut(&self.config.borrow().access.capability).map(Value::take) {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        };
        Ok(Verdict::Admit { grants })
    }
}

impl Authorizer for NodeAuthorizer {
    fn verdict(&self, peer: &Peer, local: SocketAddr) -> Verdict {
        self.ask(peer, local).unwrap_or_else(|error| {
            tracing::error!(%error, %peer, "what the tailnet grants can't be told: refused");
            Verdict::Refuse
        })
    }
}
