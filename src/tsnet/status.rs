//! The status of a node that is up.

use std::net::IpAddr;

use serde::Deserialize;

use super::Error;
use super::ffi::Failure;

/// The status of a node that is up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Status {
    /// MagicDNS name without the final dot; empty in a tailnet without MagicDNS.
    pub dns_name: String,
    /// Tailnet addresses: usually one IPv4 and one IPv6.
    pub addresses: Vec<IpAddr>,
    /// Addresses of the hosted Service; none until the tailnet has approved the node as a host.
    #[serde(default)]
    pub service_addresses: Vec<IpAddr>,
    /// Names for which the node can get certificates; none if HTTPS is off in the tailnet.
    #[serde(default)]
    pub cert_domains: Vec<String>,
    /// Whether node names resolve in the tailnet (MagicDNS).
    #[serde(default)]
    pub magic_dns: bool,
    /// Login name of the owner; absent for a tagged node.
    #[serde(default)]
    pub user: Option<String>,
    /// Tags; empty for a user's node.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether the node was in the state folder already.
    #[serde(default)]
    pub stored: bool,
}

impl Status {
    /// Parses the outcome of coming up. An empty one means that the node was closed.
    pub(super) fn from_outcome(json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Outcome {
            #[serde(flatten)]
            failure: Failure,
            status: Option<Status>,
        }
        if json.is_empty() {
            return Err(Error::Closed);
        }
        let Outcome { failure, status } = serde_json::from_slice(json)
            .map_err(|e| Error::Other(format!("parse the outcome of coming up: {e}")))?;
        status.ok_or_else(|| failure.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_is_a_status_or_a_failure() {
        let up = br#"{"kind":0,"status":{"dns_name":"n.t","addresses":["100.64.0.1"]}}"#;
        assert_eq!(Status::from_outcome(up).unwrap().dns_name, "n.t");
        let login = br#"{"kind":6,"error":"why","login_url":"https://c/a/1"}"#;
        assert_eq!(Status::from_outcome(login), Err(Error::LoginNeeded { url: "https://c/a/1".to_owned() }));
        assert_eq!(Status::from_outcome(b""), Err(Error::Closed));
    }
}
