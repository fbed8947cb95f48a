//! The peers of the netmap, with their access at each port of the node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::Config;
use crate::tailnet::{Address, Member};

/// The latest list of peers for each port.
pub(crate) struct MembersByPort(pub(super) BTreeMap<u16, Arc<Vec<Member>>>);

/// One peer, with the Ollama ports at which it may connect.
pub(super) struct MemberAccess {
    /// An address counts as admitted if any of the ports admits it.
    pub(super) member: Member,
    pub(super) ports: Vec<u16>,
}

impl MembersByPort {
    /// The peers as one of the ports sees them; none for a port without a list.
    pub(super) fn at(&self, port: Option<u16>) -> &[Member] {
        port.and_then(|port| self.0.get(&port)).map_or(&[], |members| members)
    }

    /// Whether both hold the same lists, without comparing what is in them.
    pub(crate) fn same_lists(&self, other: &MembersByPort) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1))
    }

    /// Each peer once, with its access at all ports for Ollama.
    pub(super) fn at_ollama_ports(&self, config: &Config) -> Vec<MemberAccess> {
        let mut ports = config.ports().map(|port| (port, self.at(Some(port))));
        let Some((port, first)) = ports.next() else { return Vec::new() };
        let access =
            |member: &Member| MemberAccess { member: member.clone(), ports: admitting(member, port) };
        let mut all: Vec<_> = first.iter().map(access).collect();
        for (port, members) in ports {
            let there = by_id(members);
            for access in &mut all {
                if let Some(member) = there.get(access.member.stable_id.as_str()) {
                    access.add(member, port);
                }
            }
        }
        all
    }
}

impl MemberAccess {
    /// Adds the access that the same peer has at another port.
    fn add(&mut self, member: &Member, port: u16) {
        self.ports.extend(admitting(member, port));
        for address in &mut self.member.addresses {
            let same = |a: &&Address| (a.ip, a.at) == (address.ip, address.at);
            address.admitted |= member.addresses.iter().find(same).is_some_and(|a| a.admitted);
        }
    }
}

/// `port`, if it admits any address of `member`.
fn admitting(member: &Member, port: u16) -> Vec<u16> {
    member.admitted().next().map(|_| port).into_iter().collect()
}

/// The members by their stable id.
pub(super) fn by_id(members: &[Member]) -> HashMap<&str, &Member> {
    members.iter().map(|m| (m.stable_id.as_str(), m)).collect()
}
