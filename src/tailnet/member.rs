//! A peer of the netmap.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::verdict::Verdict;
use crate::peer::Peer;

/// One peer of the netmap.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Member {
    /// MagicDNS name without the final dot.
    pub node: String,
    /// The stable id, which does not change when the node is renamed.
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
    /// Whether its key has expired. Then nothing is admitted or granted.
    #[serde(default)]
    pub expired: bool,
    /// The address and port of the direct connection to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<String>,
    /// The relay, if there is no direct connection. Neither is set while no packets flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Tailnet addresses, with the policy's answer for each.
    pub addresses: Vec<Address>,
}

/// One address of a peer at one of ours. The policy decides about each pair, since it may name a single address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// The peer's address.
    pub ip: IpAddr,
    /// Our address: the node's own, or one of its Service. Absent: any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<IpAddr>,
    /// Whether the peer may connect there.
    #[serde(default)]
    pub admitted: bool,
    /// The values granted under this node's capability.
    #[serde(default)]
    pub grants: Vec<Value>,
}

impl Member {
    /// Whether this is the peer of a connection: the same node with the same identity.
    pub fn is(&self, peer: &Peer) -> bool {
        self.stable_id == peer.stable_id && self.user == peer.user && self.tags == peer.tags
    }

    /// The user's login name, or the tags of a tagged device.
    pub fn principal(&self) -> String {
        self.user.clone().unwrap_or_else(|| self.tags.join(","))
    }

    /// What limits and records count by, as [`Peer::identity`].
    pub fn identity(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.stable_id)
    }

    /// The verdict on the peer's address `ip` at our address `at`. An address that the peer or this node does not have is
    /// refused.
    pub fn verdict(&self, ip: IpAddr, at: IpAddr) -> Verdict {
        let here = |a: &&Address| a.ip == ip && a.at.is_none_or(|ours| ours == at);
        match self.admitted().find(here) {
            Some(address) => Verdict::Admit { grants: address.grants.clone() },
            None => Verdict::Refuse,
        }
    }

    /// The addresses from which the peer may connect.
    pub fn admitted(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(|a| a.admitted && !self.expired)
    }

    /// The values granted to any of those addresses, without duplicates.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_depends_on_the_address_that_the_peer_connected_to() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (peer, own, service) = (ip("100.64.0.2"), ip("100.64.0.1"), ip("100.127.0.1"));
        let address = |at, admitted, grants| Address { ip: peer, at: Some(at), admitted, grants };
        let mut member = Member {
            addresses: vec![address(own, false, vec![]), address(service, true, vec![Value::from(1)])],
            ..Member::default()
        };
        assert_eq!(member.verdict(peer, own), Verdict::Refuse);
        assert_eq!(member.verdict(peer, service), Verdict::Admit { grants: vec![Value::from(1)] });
        // No address of ours.
        assert_eq!(member.verdict(peer, ip("100.127.0.2")), Verdict::Refuse);
        member.expired = true;
        assert_eq!(member.verdict(peer, service), Verdict::Refuse);
    }
}
