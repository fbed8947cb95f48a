//! What the tailnet says about its peers, as data: who there is, who may connect, what is granted.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
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

/// The peers of the netmap, as one of our ports sees them.
#[derive(Debug, Clone)]
pub struct PortMembers {
    /// The port of this node.
    pub port: u16,
    /// Each peer, with whether it may connect to `port`.
    pub members: Arc<Vec<Member>>,
}

/// Lists the netmap: the tailnet node, or a test.
pub trait Netmap: Send + Sync + 'static {
    /// Every peer of one netmap, as each of our TCP `ports` sees it, with what the tailnet policy grants
    /// under the app capability `capability`.
    ///
    /// # Errors
    /// The reason why the netmap can't be read.
    fn members(
        &self,
        ports: Vec<u16>,
        capability: &str,
    ) -> impl Future<Output = Result<BTreeMap<u16, Vec<Member>>, String>> + Send;
}

/// A Tailscale Service that this node hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name, `svc:` included.
    pub name: String,
    /// Its addresses; none before the tailnet has approved the node as a host.
    pub addresses: Vec<IpAddr>,
    /// Why the tailnet is asked to lead no client here; absent: it is asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
}

impl fmt::Display for ServiceStatus {
    /// `svc:ollama, 100.100.1.1: advertised`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.addresses.iter().try_for_each(|ip| write!(f, ", {ip}"))?;
        match &self.withdrawn {
            Some(why) => write!(f, ": withdrawn, {why}"),
            None if self.addresses.is_empty() => f.write_str(": the tailnet has not approved this host yet"),
            None => f.write_str(": advertised"),
        }
    }
}

/// What the node has for HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The name in it; empty while there is none.
    pub name: String,
    /// Until when it is valid, as RFC 3339; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<String>,
    /// Why there is none, or none that is newer; absent: it is as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl fmt::Display for CertificateStatus {
    /// `ollama.example.ts.net, expires 2026-12-01T12:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expiry {
            Some(at) => write!(f, "{}, expires {at}", self.name)?,
            None => f.write_str("none yet")?,
        }
        self.fault.as_ref().map_or(Ok(()), |fault| write!(f, ": {fault}"))
    }
}

/// How this node itself stands in the tailnet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// One of [`STATES`].
    pub state: String,
    /// MagicDNS name without the final dot.
    pub dns_name: String,
    /// Tailnet addresses.
    pub addresses: Vec<IpAddr>,
    /// Login name of the owner; absent for a tagged node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Tags; none for a person's node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether names of nodes resolve in the tailnet (MagicDNS).
    #[serde(default)]
    pub magic_dns: bool,
    /// Seconds by which this machine's clock is ahead of the control server's (negative: behind), where that is more
    /// than five minutes; 0: it is not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_ahead: i64,
    /// When the node key expires, as RFC 3339; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expiry: Option<String>,
    /// The Service that the node hosts; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceStatus>,
    /// The names for which the tailnet lets it have certificates; none where HTTPS is off there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cert_domains: Vec<String>,
    /// What it has for HTTPS; absent: HTTPS is off here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// All health warnings now in force.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why the control server no longer knows the node, so that peers can't reach it; absent: it knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// Why nobody can reach the node until somebody acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn is_zero(seconds: &i64) -> bool {
    *seconds == 0
}

/// The states of a node, by tailscale's names (`ipn.State`).
pub const STATES: [&str; 5] = ["NeedsLogin", "NeedsMachineAuth", "Starting", "Running", "Stopped"];

impl NodeStatus {
    /// Whether the tailnet has let the node in, this time; until then nothing is known of the peers.
    pub fn has_joined(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Why the node is no longer in the tailnet, so that it serves no peer; `None`: it is, or it
    /// connects. Each state in which no peer can have access belongs here: then all sessions are cut,
    /// and nobody is admitted.
    pub fn out_of_tailnet(&self) -> Option<&'static str> {
        if self.deleted.is_some() {
            return Some("it was deleted at the control server");
        }
        match self.state.as_str() {
            "NeedsLogin" => Some("its key has expired or was removed"),
            "NeedsMachineAuth" => Some("an admin has to approve it again"),
            "Stopped" => Some("it was turned off"),
            _ => None,
        }
    }

    /// Whether peers can reach the node.
    pub fn is_running(&self) -> bool {
        self.state == "Running" && self.error.is_none() && self.deleted.is_none()
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

/// One address of a peer at one of ours. A policy may name a single one, so each has a standing of its
/// own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// The peer's address.
    pub ip: IpAddr,
    /// Ours: the node's own, or one of the Service that it hosts. Absent: any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<IpAddr>,
    /// Whether it may connect there.
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

    /// What the policy says of one of its addresses at our address `at`; nothing good of one that it, or
    /// this node, has not.
    pub fn verdict(&self, ip: IpAddr, at: IpAddr) -> Verdict {
        let here = |a: &&Address| a.ip == ip && a.at.is_none_or(|ours| ours == at);
        match self.admitted().find(here) {
            Some(address) => Verdict::Admit { grants: address.grants.clone() },
            None => Verdict::Refuse,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_judged_at_the_address_that_it_came_to() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (peer, own, service) = (ip("100.64.0.2"), ip("100.64.0.1"), ip("100.127.0.1"));
        let address = |at, admitted, grants| Address { ip: peer, at: Some(at), admitted, grants };
        let mut member = Member {
            addresses: vec![address(own, false, vec![]), address(service, true, vec![Value::from(1)])],
            ..Member::default()
        };
        assert_eq!(member.verdict(peer, own), Verdict::Refuse);
        assert_eq!(member.verdict(peer, service), Verdict::Admit { grants: vec![Value::from(1)] });
        // Which is no address of ours, or no more.
        assert_eq!(member.verdict(peer, ip("100.127.0.2")), Verdict::Refuse);
        member.expired = true;
        assert_eq!(member.verdict(peer, service), Verdict::Refuse);
    }

    #[test]
    fn node_is_out_of_the_tailnet_in_each_state_that_needs_somebody_to_act() {
        let out = STATES.map(|state| {
            let situation = NodeStatus { state: state.to_owned(), ..NodeStatus::default() };
            (state, situation.out_of_tailnet().is_some())
        });
        let expected = [
            ("NeedsLogin", true),
            ("NeedsMachineAuth", true),
            ("Starting", false),
            ("Running", false),
            ("Stopped", true),
        ];
        assert_eq!(out, expected);
        let deleted = NodeStatus {
            state: "Running".to_owned(),
            deleted: Some("gone".to_owned()),
            ..NodeStatus::default()
        };
        assert!(deleted.out_of_tailnet().is_some() && !deleted.is_running());
    }

    #[test]
    fn a_certificate_says_how_it_stands() {
        let mut certificate =
            CertificateStatus { fault: Some("HTTPS is off".to_owned()), ..CertificateStatus::default() };
        assert_eq!(certificate.to_string(), "none yet: HTTPS is off");
        certificate.name = "a.ts.net".to_owned();
        certificate.expiry = Some("2026-12-01T12:00:00Z".to_owned());
        assert_eq!(certificate.to_string(), "a.ts.net, expires 2026-12-01T12:00:00Z: HTTPS is off");
    }

    #[test]
    fn a_service_says_how_it_stands() {
        let mut service = ServiceStatus { name: "svc:ollama".to_owned(), ..ServiceStatus::default() };
        assert_eq!(service.to_string(), "svc:ollama: the tailnet has not approved this host yet");
        service.addresses = vec!["100.127.0.1".parse().unwrap()];
        assert_eq!(service.to_string(), "svc:ollama, 100.127.0.1: advertised");
        service.withdrawn = Some("Ollama has yet to answer".to_owned());
        assert_eq!(service.to_string(), "svc:ollama, 100.127.0.1: withdrawn, Ollama has yet to answer");
    }
}
