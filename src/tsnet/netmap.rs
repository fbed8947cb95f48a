//! The list of all peers in the netmap: each once, with its rights at all ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::identity::Identity;
use crate::tailnet::{Address, Member};

#[derive(Deserialize)]
struct ListedPeer {
    #[serde(flatten)]
    identity: Identity,
    #[serde(default)]
    online: bool,
    #[serde(default)]
    expired: bool,
    direct: Option<String>,
    relay: Option<String>,
    addresses: Vec<ListedAddress>,
}

#[derive(Deserialize)]
struct ListedAddress {
    ip: IpAddr,
    at: IpAddr,
    /// The ports that the peer may connect to.
    #[serde(default)]
    admitted: Vec<u16>,
    #[serde(default)]
    grants: Vec<Value>,
}

impl ListedPeer {
    /// The peer with its rights at one port.
    fn at(&self, port: u16) -> Member {
        let Identity { node, stable_id, user, tags, os } = self.identity.clone();
        let addresses = self.addresses.iter().map(|a| Address {
            ip: a.ip,
            at: Some(a.at),
            admitted: a.admitted.contains(&port),
            grants: a.grants.clone(),
        });
        Member {
            node,
            stable_id,
            user,
            tags,
            os,
            online: self.online,
            expired: self.expired,
            direct: self.direct.clone(),
            relay: self.relay.clone(),
            addresses: addresses.collect(),
        }
    }
}

/// All peers, for each of `ports`.
pub(super) fn parse(json: &str, ports: &[u16]) -> serde_json::Result<BTreeMap<u16, Vec<Member>>> {
    let peers: Vec<ListedPeer> = serde_json::from_str(json)?;
    Ok(ports.iter().map(|port| (*port, peers.iter().map(|peer| peer.at(*port)).collect())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_lists_the_peers_that_it_admits() {
        let json = r#"[{"node":"a.t","stable_id":"n1","tags":["tag:a"],"relay":"fra","addresses":[
            {"ip":"100.64.0.2","at":"100.64.0.1","admitted":[443],"grants":[{"page":"own"}]},
            {"ip":"fd7a::2","at":"fd7a::1"}]}]"#;
        let members = parse(json, &[443, 80]).unwrap();
        let admitted = |port| members[&port][0].addresses.iter().map(|a| a.admitted).collect::<Vec<_>>();
        assert_eq!((admitted(443), admitted(80)), (vec![true, false], vec![false, false]));
        let peer = &members[&80][0];
        assert_eq!(
            (peer.principal(), peer.relay.as_deref(), peer.expired),
            ("tag:a".into(), Some("fra"), false)
        );
        assert_eq!(peer.addresses[0].grants.len(), 1);
        assert!(parse("[{}]", &[80]).is_err());
    }
}
