//! What the tailnet says about its peers, as data: who there is, who may connect, what is granted.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::peer::Peer;

/// The tailnet's word on one connection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// Whether the tailnet policy, as it stands now, lets the peer connect.
    pub admitted: bool,
    /// The values that the policy grants the peer under this node's capability.
    pub grants: Vec<Value>,
}

/// Where verdicts come from: the tailnet node, or a test.
pub trait Tailnet: Send + Sync + 'static {
    /// Judges a peer that has just connected to our address `local`. Fails closed.
    fn verdict(&self, peer: &Peer, local: SocketAddr) -> Verdict;
}

/// How this node itself stands in the tailnet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Situation {
    /// One of [`STATES`].
    pub state: String,
    /// MagicDNS name without the final dot.
    pub dns_name: String,
    /// Tailnet addresses.
    pub addresses: Vec<IpAddr>,
    /// When the node key expires, as RFC 3339; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expiry: Option<String>,
    /// All health warnings now in force.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why nobody can reach the node until somebody acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The states of a node, by tailscale's names (`ipn.State`).
pub const STATES: [&str; 5] = ["NeedsLogin", "NeedsMachineAuth", "Starting", "Running", "Stopped"];

impl Situation {
    /// Whether the tailnet has let the node in, this time; until then nothing is known of the peers.
    pub fn has_joined(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Whether peers can reach the node.
    pub fn is_running(&self) -> bool {
        self.state == "Running" && self.error.is_none()
    }
}

/// One peer of the netmap.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Member {
    /// MagicDNS name without the final dot.
    pub node: String,
    /// The same for the life of the node.
    pub stable_id: String,
    /// Login name of the owner; absent for a tagged device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Tags; empty for a user's device.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Operating system as the node reports it.
    #[serde(default)]
    pub os: String,
    /// Whether the control server sees it online.
    #[serde(default)]
    pub online: bool,
    /// Whether its key has expired; then nothing is admitted or granted.
    #[serde(default)]
    pub expired: bool,
    /// The address and port through which packets go straight to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<String>,
    /// Else the relay that passes them on; neither is there while no packets flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Tailnet addresses, each with what the policy says of it.
    pub addresses: Vec<Address>,
}

/// One address of a peer. A policy may name a single one, so each has a standing of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Whether it may connect to this node.
    #[serde(default)]
    pub admitted: bool,
    /// The values granted under this node's capability.
    #[serde(default)]
    pub grants: Vec<Value>,
}

impl Member {
    /// Whether this is still the peer of a connection: the same node, acting as the same principal.
    pub fn is(&self, peer: &Peer) -> bool {
        self.stable_id == peer.stable_id && self.user == peer.user && self.tags == peer.tags
    }

    /// Who acts: the user's login name, or the tags of a tagged device.
    pub fn principal(&self) -> String {
        self.user.clone().unwrap_or_else(|| self.tags.join(","))
    }

    /// What the policy says of one of its addresses; nothing good of one that it has not.
    pub fn verdict(&self, ip: IpAddr) -> Verdict {
        let address = self.addresses.iter().find(|a| a.ip == ip && !self.expired);
        address.map_or_else(Verdict::default, |a| Verdict { admitted: a.admitted, grants: a.grants.clone() })
    }

    /// The addresses from which it may connect.
    pub fn admitted(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(|a| a.admitted && !self.expired)
    }

    /// The values granted to any of them, each once.
    pub fn grants(&self) -> Vec<Value> {
        let mut grants = Vec::new();
        for value in self.admitted().flat_map(|a| &a.grants) {
            if !grants.contains(value) {
                grants.push(value.clone());
            }
        }
        grants
    }
}
