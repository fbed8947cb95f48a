//! Who may do what here, and who does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::policy::{AccessMode, Endpoint, Grant, PageRight, Priority, Rights};
use crate::proxy::Session;
use crate::tailnet::{Address, Member};

/// The answer to `who`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// Whether the node has joined; until then the tailnet has said nothing, and `peers` is empty.
    pub joined: bool,
    /// Why the node is no longer in the tailnet, so that no peer can connect; absent: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_tailnet: Option<String>,
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
    /// The port for the page there; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_port: Option<u16>,
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
    /// How much it sees of the page, at the port for it; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageRight>,
    /// Why some of its grants grant nothing.
    pub faults: Vec<String>,
    /// Its open connections.
    pub connections: usize,
    /// The endpoints of its running requests.
    pub running: Vec<String>,
}

/// What the tailnet says of everybody, as seen by each port of the node.
pub(crate) struct Rosters(pub(super) BTreeMap<u16, Arc<Vec<Member>>>);

impl Rosters {
    /// By one of the ports; empty where there is none.
    pub(super) fn at(&self, port: Option<u16>) -> &[Member] {
        port.and_then(|port| self.0.get(&port)).map_or(&[], |roster| roster)
    }

    /// Whether these are the same, with nothing new said since.
    pub(crate) fn are(&self, other: &Rosters) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1))
    }
}

impl Who {
    /// Puts together what the tailnet says, what the config allows and what is going on.
    pub(crate) fn new(
        config: &Config,
        rosters: &Rosters,
        sessions: &[Arc<Session>],
        joined: bool,
        anybody: bool,
    ) -> Who {
        let (metrics, page) = (by_id(rosters.at(config.metrics_port)), by_id(rosters.at(config.page_port)));
        Who {
            joined,
            out_of_tailnet: None,
            access: match config.access.mode {
                AccessMode::Network => "network".to_owned(),
                AccessMode::Grants => "grants".to_owned(),
            },
            capability: config.access.capability.clone(),
            port: config.ports().next().unwrap_or(config.port),
            https_port: config.https_port,
            metrics_port: config.metrics_port,
            page_port: config.page_port,
            anybody,
            peers: everybody(config, rosters)
                .iter()
                .map(|(member, ports)| {
                    let id = member.stable_id.as_str();
                    peer(config, member, ports, metrics.get(id).copied(), page.get(id).copied(), sessions)
                })
                .collect(),
        }
    }
}

/// Each peer once, with the ports at which it may ask Ollama; its addresses are admitted that are so at any of them.
fn everybody(config: &Config, rosters: &Rosters) -> Vec<(Member, Vec<u16>)> {
    let mut ports = config.ports().map(|port| (port, rosters.at(Some(port))));
    let Some((port, first)) = ports.next() else { return Vec::new() };
    let ports_of = |member: &Member| member.admitted().next().map(|_| port).into_iter().collect();
    let mut all: Vec<(Member, Vec<u16>)> = first.iter().map(|m| (m.clone(), ports_of(m))).collect();
    for (port, roster) in ports {
        let there = by_id(roster);
        for (member, ports) in &mut all {
            let Some(there) = there.get(member.stable_id.as_str()) else { continue };
            ports.extend(there.admitted().next().map(|_| port));
            for address in &mut member.addresses {
                let same = |a: &&Address| (a.ip, a.at) == (address.ip, address.at);
                address.admitted |= there.addresses.iter().find(same).is_some_and(|a| a.admitted);
            }
        }
    }
    all
}

fn by_id(roster: &[Member]) -> HashMap<&str, &Member> {
    roster.iter().map(|m| (m.stable_id.as_str(), m)).collect()
}

/// `metrics` and `page` are the same peer as the ports for them see it.
fn peer(
    config: &Config,
    member: &Member,
    ports: &[u16],
    metrics: Option<&Member>,
    page: Option<&Member>,
    sessions: &[Arc<Session>],
) -> WhoPeer {
    let may_connect = !ports.is_empty();
    let mode = config.access.mode;
    // The most that any of its addresses may do; a policy that tells them apart is rare.
    let grant = member.admitted().filter_map(|a| Rights::merge(mode, &a.grants).grant).reduce(Grant::or);
    let grants = member.grants();
    let through = match (&grant, grants.iter().all(Grant::is_auxiliary_only)) {
        (None, _) => "nothing",
        (Some(_), true) => "network rule",
        (Some(_), false) => "grants",
    };
    let reads = |member: &Member| member.admitted().any(|a| Rights::merge(mode, &a.grants).metrics());
    let sees =
        |member: &Member| member.admitted().filter_map(|a| Rights::merge(mode, &a.grants).page()).max();
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
        metrics: metrics.is_some_and(reads),
        page: page.and_then(sees),
        faults: Rights::merge(mode, &grants).faults,
        connections: own().count(),
        running: own().filter_map(|s| s.running()).map(named).collect(),
    }
}
