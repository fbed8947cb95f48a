//! The status of this node.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A Tailscale Service that this node hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The name, with `svc:`.
    pub name: String,
    /// The addresses; none until the tailnet has approved the node as a host.
    pub addresses: Vec<IpAddr>,
    /// Why the Service is withdrawn, so that the tailnet routes no client here; absent: it is advertised.
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

/// The certificate for HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The name in the certificate; empty if there is no certificate.
    pub name: String,
    /// When the certificate expires, as RFC 3339; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<String>,
    /// Why the last request for a certificate failed; absent: it did not.
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

/// The status of this node in the tailnet.
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
    /// Tags; none for a user's node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether names of nodes resolve in the tailnet (MagicDNS).
    #[serde(default)]
    pub magic_dns: bool,
    /// Seconds by which this machine's clock is ahead of the control server's (negative: behind). 0 for less than five
    /// minutes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_ahead: i64,
    /// When the node key expires, as RFC 3339; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expiry: Option<String>,
    /// The Service that the node hosts; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceStatus>,
    /// The names that the node may get certificates for; none if HTTPS is off in the tailnet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cert_domains: Vec<String>,
    /// The certificate for HTTPS; absent: HTTPS is off in the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// The current health warnings.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why the control server no longer knows the node, so that peers can't reach it; absent: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// Why peers can't reach the node until an operator acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn is_zero(seconds: &i64) -> bool {
    *seconds == 0
}

/// The states of a node, by tailscale's names (`ipn.State`).
pub const STATES: [&str; 5] = ["NeedsLogin", "NeedsMachineAuth", "Starting", "Running", "Stopped"];

impl NodeStatus {
    /// Whether the node has joined since the process started. Until then no peer is known.
    pub fn has_joined(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Why the node is out of the tailnet; `None` if it is in the tailnet or connecting. While there is a reason, all
    /// sessions are cut and no peer is admitted, so every state in which no peer can have access belongs here.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_out_of_the_tailnet_in_each_state_that_needs_a_person() {
        let out = STATES.map(|state| {
            let node = NodeStatus { state: state.to_owned(), ..NodeStatus::default() };
            (state, node.out_of_tailnet().is_some())
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
    fn certificate_status_is_readable() {
        let mut certificate =
            CertificateStatus { fault: Some("HTTPS is off".to_owned()), ..CertificateStatus::default() };
        assert_eq!(certificate.to_string(), "none yet: HTTPS is off");
        certificate.name = "a.ts.net".to_owned();
        certificate.expiry = Some("2026-12-01T12:00:00Z".to_owned());
        assert_eq!(certificate.to_string(), "a.ts.net, expires 2026-12-01T12:00:00Z: HTTPS is off");
    }

    #[test]
    fn service_status_is_readable() {
        let mut service = ServiceStatus { name: "svc:ollama".to_owned(), ..ServiceStatus::default() };
        assert_eq!(service.to_string(), "svc:ollama: the tailnet has not approved this host yet");
        service.addresses = vec!["100.127.0.1".parse().unwrap()];
        assert_eq!(service.to_string(), "svc:ollama, 100.127.0.1: advertised");
        service.withdrawn = Some("Ollama has yet to answer".to_owned());
        assert_eq!(service.to_string(), "svc:ollama, 100.127.0.1: withdrawn, Ollama has yet to answer");
    }
}
