//! The rights of each peer, where they come from, and what the peer does now.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::members::{MemberAccess, MembersByPort, by_id};
use crate::admission::{Admission, QuotaState};
use crate::config::Config;
use crate::policy::{AccessMode, Endpoint, EndpointSet, Grant, PageRight, Priority, Rights};
use crate::proxy::Session;
use crate::tailnet::Member;

/// The answer to `GET /who`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// Whether the node has joined the tailnet; until then `peers` is empty.
    pub joined: bool,
    /// Why the node is no longer in the tailnet, so that no peer can connect; absent: it is in the tailnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_tailnet: Option<String>,
    /// `network` or `grants`, as `access.mode` in the config.
    pub access: String,
    /// The app capability whose grants count.
    pub capability: String,
    /// The Ollama port: the one for plain HTTP, or, if that is not served, the one for HTTPS.
    pub port: u16,
    /// The Ollama port for HTTPS; absent: HTTPS is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
    /// The metrics port; absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_port: Option<u16>,
    /// The page port; absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_port: Option<u16>,
    /// Whether the policy file also admits devices that are not in the tailnet yet, at any of these ports.
    pub open_to_unknown_devices: bool,
    /// The peers in the netmap, by name.
    pub peers: Vec<WhoPeer>,
}

/// One peer of the netmap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhoPeer {
    /// Its name, owner or tags, and its addresses with the grants as the policy file has them.
    #[serde(flatten)]
    pub member: Member,
    /// Whether the tailnet policy lets it connect to an Ollama port.
    pub may_connect: bool,
    /// The Ollama ports at which it may connect.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Where its rights come from: `nothing`, `network rule` or `grants`.
    pub through: String,
    /// The endpoints that it may use, by their names in the config.
    pub endpoints: Vec<String>,
    /// The model patterns of its merged grants; absent: every model that the config allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Whether its merged grants let it set `keep_alive`.
    #[serde(default = "allowed")]
    pub keep_alive: bool,
    /// Whether they let it set options such as `num_ctx`, which reload models.
    #[serde(default = "allowed")]
    pub load_options: bool,
    /// Running slots at once, by its merged grants; absent: no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// Requests per minute, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The quotas of its identity, by the config and its merged grants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<WhoQuota>,
    /// Bytes of a request body, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u64>,
    /// Its place in the queue, by its merged grants.
    pub priority: Priority,
    /// Whether it may read the metrics.
    #[serde(default)]
    pub metrics: bool,
    /// How much of the page it sees; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageRight>,
    /// The faults of its grants. A faulty grant grants nothing.
    pub faults: Vec<String>,
    /// Its sessions.
    pub connections: usize,
    /// The endpoints of its requests with a running slot.
    pub running: Vec<String>,
}

/// What a proxy of an earlier version means by the lack of a right.
fn allowed() -> bool {
    true
}

/// One quota of a peer's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoQuota {
    /// Its key in the config and in grants, such as `tokens_per_day`.
    pub key: String,
    /// The limit.
    pub limit: u64,
    /// What all devices of the identity have used of it.
    pub used: u64,
    /// When the count starts again at 0, as RFC 3339.
    pub resets: String,
}

impl From<QuotaState> for WhoQuota {
    fn from(state: QuotaState) -> Self {
        WhoQuota {
            key: state.quota.key().to_owned(),
            limit: state.limit,
            used: state.spent,
            resets: crate::time::format_rfc3339_seconds(state.ends),
        }
    }
}

impl WhoQuota {
    /// `17 of 1000 tokens a day`.
    pub(crate) fn used_of_limit(&self) -> String {
        format!("{} of {} {}", self.used, self.limit, self.key.replace("_per_", " a "))
    }
}

impl Who {
    /// The answer for a node in the tailnet. [`Who::out_of_tailnet`] and [`Who::open_to_unknown_devices`] are left
    /// empty.
    pub(crate) fn new(
        config: &Config,
        members: &MembersByPort,
        sessions: &[Arc<Session>],
        admission: &Admission,
        joined: bool,
    ) -> Who {
        let access = members.at_ollama_ports(config);
        let metrics = by_id(members.at(config.metrics_port));
        let page = by_id(members.at(config.page_port));
        let peer = |access: &MemberAccess| {
            let id = access.member.stable_id.as_str();
            WhoPeer {
                metrics: metrics.get(id).is_some_and(|member| reads_metrics(config, member)),
                page: page.get(id).and_then(|member| sees_page(config, member)),
                ..WhoPeer::at_ollama(config, access, sessions, admission)
            }
        };
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
            open_to_unknown_devices: false,
            peers: access.iter().map(peer).collect(),
        }
    }
}

fn reads_metrics(config: &Config, member: &Member) -> bool {
    member.admitted().any(|a| Rights::merge(config.access.mode, &a.grants).metrics())
}

fn sees_page(config: &Config, member: &Member) -> Option<PageRight> {
    member.admitted().filter_map(|a| Rights::merge(config.access.mode, &a.grants).page()).max()
}

impl WhoPeer {
    /// The peer's rights at the Ollama ports; those at auxiliary ports are left empty.
    fn at_ollama(
        config: &Config,
        access: &MemberAccess,
        sessions: &[Arc<Session>],
        admission: &Admission,
    ) -> WhoPeer {
        let MemberAccess { member, ports } = access;
        let mode = config.access.mode;
        // The union over its addresses. A policy that treats them differently is rare.
        let grant = member.admitted().filter_map(|a| Rights::merge(mode, &a.grants).grant).reduce(Grant::or);
        let grants = member.grants();
        let through = match &grant {
            None => "nothing",
            Some(_) if grants.iter().all(Grant::is_auxiliary_only) => "network rule",
            Some(_) => "grants",
        };
        let grant = grant.unwrap_or(Grant { endpoints: EndpointSet::EMPTY, ..Grant::EVERYTHING });
        let quotas = admission.quotas(member.identity(), &config.limits.quotas.and(grant.quotas));
        let own = || sessions.iter().filter(|s| s.peer.stable_id == member.stable_id);
        let named = |endpoint: Endpoint| endpoint.name().to_owned();
        WhoPeer {
            member: member.clone(),
            may_connect: !ports.is_empty(),
            ports: ports.clone(),
            through: through.to_owned(),
            endpoints: config.endpoints.iter().filter(|e| grant.endpoints.contains(*e)).map(named).collect(),
            models: grant.models.map(|models| models.patterns().to_vec()),
            keep_alive: grant.keep_alive,
            load_options: grant.load_options,
            max_concurrent: grant.max_concurrent,
            requests_per_minute: grant.requests_per_minute,
            quotas: quotas.into_iter().map(WhoQuota::from).collect(),
            max_body: grant.max_body,
            priority: grant.priority,
            metrics: false,
            page: None,
            faults: Rights::merge(mode, &grants).faults,
            connections: own().count(),
            running: own().filter_map(|s| s.running()).map(named).collect(),
        }
    }
}
