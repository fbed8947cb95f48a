//! Who may do what here, and who does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::policy::{Access, Endpoint, Grant, Priority, Rights};
use crate::proxy::{Roster, Session};
use crate::tailnet::{Address, Member};

/// The answer to `who`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// Whether the node has joined; until then the tailnet has said nothing, and `peers` is empty.
    pub joined: bool,
    /// `network` or `grants`: what a peer without a grant may do.
    pub access: String,
    /// The app capability that grants stand under.
    pub capability: String,
    /// The port in the tailnet at which Ollama is asked: that for HTTP, or where that is not served, that for HTTPS.
    pub port: u16,
    /// The port for HTTPS there; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
    /// The port for the metrics there; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_port: Option<u16>,
    /// Whether the tailnet policy lets in devices that it does not know yet, at any of these ports.
    pub anybody: bool,
    /// Everybody in the netmap, by name.
    pub peers: Vec<WhoPeer>,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhoPeer {
    /// The peer as the tailnet has it: name, owner or tags, addresses with the grants as written.
    #[serde(flatten)]
    pub member: Member,
    /// Whether it may connect, by the network rule.
    pub may_connect: bool,
    /// At which ports it may ask Ollama.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Where its rights come from: `nothing`, `network rule`, or `grants`.
    pub through: String,
    /// The endpoints that it may use, by name.
    pub endpoints: Vec<String>,
    /// The patterns of models that its merged grants have; absent: every one that the config lets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The limits of its merged grants; absent: none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// See above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// See above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// In bytes; see above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u64>,
    /// Who goes first when requests have to wait.
    pub priority: Priority,
    /// Whether it may read the metrics, at the port for them.
    #[serde(default)]
    pub metrics: bool,
    /// Why some of its grants grant nothing.
    pub faults: Vec<String>,
    /// Its open connections.
    pub connections: usize,
    /// The endpoints of its running requests.
    pub running: Vec<String>,
}

impl Who {
    /// Puts together what the tailnet says, of the ports at which Ollama is asked and of the one for the metrics, what
    /// the config allows and what is going on.
    pub fn new(
        config: &Config,
        rosters: &[Roster],
        metrics: &[Member],
        sessions: &[Arc<Session>],
        joined: bool,
        anybody: bool,
    ) -> Who {
        Who {
            joined,
            access: match config.access.mode {
                Access::Network => "network".to_owned(),
                Access::Grants => "grants".to_owned(),
            },
            capability: config.access.capability.clone(),
            port: config.ports().next().unwrap_or(config.port),
            https_port: config.https_port,
            metrics_port: config.metrics_port,
            anybody,
            peers: everybody(rosters)
                .iter()
                .map(|(member, ports)| {
                    let there = metrics.iter().find(|m| m.stable_id == member.stable_id);
                    peer(config, member, ports, there, sessions)
                })
                .collect(),
        }
    }
}

/// Each peer once, with the ports that it may connect to; its addresses are admitted that are so at any of them.
fn everybody(rosters: &[Roster]) -> Vec<(Member, Vec<u16>)> {
    let (port, first) = match rosters {
        [] => return Vec::new(),
        [(port, first), ..] => (*port, first),
    };
    let ports_of = |member: &Member, port| member.admitted().next().map(|_| port).into_iter().collect();
    let mut all: Vec<(Member, Vec<u16>)> = first.iter().map(|m| (m.clone(), ports_of(m, port))).collect();
    for (port, roster) in &rosters[1..] {
        for (member, ports) in &mut all {
            let Some(there) = roster.iter().find(|m| m.stable_id == member.stable_id) else { continue };
            ports.extend(there.admitted().next().map(|_| *port));
            for address in &mut member.addresses {
                let same = |a: &&Address| (a.ip, a.at) == (address.ip, address.at);
                address.admitted |= there.addresses.iter().find(same).is_some_and(|a| a.admitted);
            }
        }
    }
    all
}

/// `there` is the same peer as the port for the metrics sees it.
fn peer(
    config: &Config,
    member: &Member,
    ports: &[u16],
    there: Option<&Member>,
    sessions: &[Arc<Session>],
) -> WhoPeer {
    let may_connect = !ports.is_empty();
    let mode = config.access.mode;
    // The most that any of its addresses may do; a policy that tells them apart is rare.
    let grant = member.admitted().filter_map(|a| Rights::merge(mode, &a.grants).grant).reduce(Grant::or);
    let grants = member.grants();
    let through = match (&grant, grants.is_empty()) {
        (None, _) => "nothing",
        (Some(_), true) => "network rule",
        (Some(_), false) => "grants",
    };
    let reads = |member: &Member| member.admitted().any(|a| Rights::merge(mode, &a.grants).metrics());
    let Grant {
        endpoints,
        models,
        max_concurrent,
        requests_per_minute,
        tokens_per_day,
        max_body,
        priority,
        ..
    } = grant.unwrap_or(Grant { endpoints: crate::policy::EndpointSet::EMPTY, ..Grant::EVERYTHING });
    let own = || sessions.iter().filter(|s| s.peer.stable_id == member.stable_id);
    let named = |endpoint: Endpoint| endpoint.name().to_owned();
    WhoPeer {
        member: member.clone(),
        may_connect,
        ports: ports.to_vec(),
        through: through.to_owned(),
        endpoints: config.endpoints.iter().filter(|e| endpoints.contains(*e)).map(named).collect(),
        models: models.map(|models| models.patterns().to_vec()),
        max_concurrent,
        requests_per_minute,
        tokens_per_day,
        max_body,
        priority,
        metrics: there.is_some_and(reads),
        faults: Rights::merge(mode, &grants).faults,
        connections: own().count(),
        running: own().filter_map(|s| s.running()).map(named).collect(),
    }
}
