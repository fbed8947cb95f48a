//! The list of the netmap as the library writes it: each peer once, for all ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::tailnet::{Address, Member};

#[derive(Deserialize)]
struct Listed {
    node: String,
    stable_id: String,
    user: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    os: String,
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
    /// The ports that it may connect to.
    #[serde(default)]
    admitted: Vec<u16>,
    #[serde(default)]
    grants: Vec<Value>,
}

impl Listed {
    /// The peer as `port` sees it.
    fn at(&self, port: u16) -> Member {
        let address = |a: &ListedAddress| Address {
            ip: a.ip,
            at: Some(a.at),
            admitted: a.admitted.contains(&port),
            grants: a.grants.clone(),
        };
        Member {
            node: self.node.clone(),
            stable_id: self.stable_id.clone(),
            user: self.user.clone(),
            tags: self.tags.clone(),
            os: self.os.clone(),
            online: self.online,
            expired: self.expired,
            direct: self.direct.clone(),
            relay: self.relay.clone(),
            addresses: self.addresses.iter().map(address).collect(),
        }
    }
}

/// Everybody, as each of `ports` sees them.
pub(super) fn parse(json: &str, ports: &[u16]) -> serde_json::Result<BTreeMap<u16, Vec<Member>>> {
    let listed: Vec<Listed> = serde_json::from_str(json)?;
    Ok(ports.iter().map(|port| (*port, listed.iter().map(|peer| peer.at(*port)).collect())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_sees_who_may_connect_to_it() {
        let json = r#"[{"node":"a.t","stable_id":"n1","tags":["tag:a"],"relay":"fra","addresses":[
            {"ip":"100.64.0.2","at":"100.64.0.1","admitted":[443],"grants":[{"page":"own"}]},
            {"ip":"fd7a::2","at":"fd7a::1"}]}]"#;
        let rosters = parse(json, &[443, 80]).unwrap();
        let admitted = |port| rosters[&port][0].addresses.iter().map(|a| a.admitted).collect::<Vec<_>>();
        assert_eq!((admitted(443), admitted(80)), (vec![true, false], vec![false, false]));
        let peer = &rosters[&80][0];
        assert_eq!(
            (peer.principal(), peer.relay.as_deref(), peer.expired),
            ("tag:a".into(), Some("fra"), false)
        );
        assert_eq!(peer.addresses[0].grants.len(), 1);
        assert!(parse("[{}]", &[80]).is_err());
    }
}
