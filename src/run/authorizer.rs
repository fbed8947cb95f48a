//! Verdicts on peers, from the node's packet filter.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::sync::watch;

use crate::config::Config;
use crate::peer::Peer;
use crate::tailnet::{Authorizer, NodeStatus, Verdict};
use crate::tsnet::{Error, Node};

/// Asks the node. No peer is admitted before there is a node, nor while the node is out of the tailnet.
pub(super) struct NodeAuthorizer {
    node: OnceLock<Arc<Node>>,
    config: watch::Receiver<Arc<Config>>,
    node_status: watch::Receiver<NodeStatus>,
}

impl NodeAuthorizer {
    pub(super) fn new(
        config: watch::Receiver<Arc<Config>>,
        node_status: watch::Receiver<NodeStatus>,
    ) -> Self {
        NodeAuthorizer { node: OnceLock::new(), config, node_status }
    }

    /// Takes verdicts from `node`. Only the first call has an effect.
    pub(super) fn use_node(&self, node: Arc<Node>) {
        let _ = self.node.set(node);
    }

    fn ask_node(&self, peer: &Peer, local: SocketAddr) -> Result<Verdict, Error> {
        // Needed, because the node keeps its last packet filter when it leaves the tailnet.
        if self.node_status.borrow().out_of_tailnet().is_some() {
            return Ok(Verdict::Refuse);
        }
        let node = self.node.get().ok_or(Error::Closed)?;
        let src = peer.addr.ip();
        if !node.check_access(src, local)? {
            return Ok(Verdict::Refuse);
        }
        let mut capabilities = node.capabilities(src, local)?;
        let grants = match capabilities.get_mut(&self.config.borrow().access.capability).map(Value::take) {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        };
        Ok(Verdict::Admit { grants })
    }
}

impl Authorizer for NodeAuthorizer {
    fn verdict(&self, peer: &Peer, local: SocketAddr) -> Verdict {
        self.ask_node(peer, local).unwrap_or_else(|error| {
            tracing::error!(%error, %peer, "cannot look up what the tailnet grants: connection refused");
            Verdict::Refuse
        })
    }
}
