//! The section about the peers and their rights.

use serde::Serialize;
use serde_json::json;

use super::viewers::Viewer;
use crate::admin::{Who, WhoPeer};
use crate::policy::{PageRight, Priority};

/// Rows of the section.
const PEERS: usize = 200;

/// Characters shown of a grant and of a fault in one.
const GRANT_MAX: usize = 300;

/// A peer with a right at any port.
#[derive(Serialize)]
struct Row<'a> {
    node: &'a str,
    principal: String,
    online: bool,
    /// `direct` or the relay; absent while no packets flow.
    path: Option<String>,
    through: &'a str,
    endpoints: &'a [String],
    limits: Vec<String>,
    metrics: bool,
    page: Option<PageRight>,
    /// As the policy file has them.
    grants: Vec<String>,
    faults: Vec<String>,
}

/// The peers that `viewer` sees. Of those without any right, `others` has the number.
pub(super) fn section(who: &Who, viewer: Viewer<'_>) -> impl Serialize + use<> {
    let is_shown = |peer: &&WhoPeer| match viewer.limited_to() {
        None => true,
        Some(own) if own.user.is_some() => peer.member.user == own.user,
        Some(own) => peer.member.stable_id == own.stable_id,
    };
    let has_rights = |peer: &&WhoPeer| peer.may_connect || peer.metrics || peer.page.is_some();
    let (peers, others): (Vec<_>, Vec<_>) = who.peers.iter().filter(is_shown).partition(has_rights);
    json!({
        "joined": who.joined,
        "access": who.access,
        "capability": who.capability,
        "rows": peers.iter().take(PEERS).map(|peer| Row::new(peer)).collect::<Vec<_>>(),
        "more": peers.len().saturating_sub(PEERS),
        "others": others.len(),
    })
}

impl<'a> Row<'a> {
    fn new(peer: &'a WhoPeer) -> Row<'a> {
        let member = &peer.member;
        let direct = member.direct.as_ref().map(|_| "direct".to_owned());
        let relay = member.relay.as_ref().map(|relay| format!("relay {relay}"));
        Row {
            node: &member.node,
            principal: member.principal(),
            online: member.online,
            path: direct.or(relay),
            through: if peer.may_connect { &peer.through } else { "other ports" },
            endpoints: if peer.may_connect { &peer.endpoints } else { &[] },
            limits: limits(peer),
            metrics: peer.metrics,
            page: peer.page,
            grants: member.grants().iter().map(|grant| truncated(&grant.to_string())).collect(),
            faults: peer.faults.iter().map(|fault| truncated(fault)).collect(),
        }
    }
}

fn limits(peer: &WhoPeer) -> Vec<String> {
    let limit = |value: Option<u64>, unit: &str| value.map(|n| format!("{n} {unit}"));
    let priority = match peer.priority {
        Priority::Low => Some("priority low".to_owned()),
        Priority::Normal => None,
        Priority::High => Some("priority high".to_owned()),
    };
    let all = [
        peer.models.as_ref().map(|models| format!("models {}", models.join(", "))),
        (!peer.keep_alive).then(|| "no keep_alive".to_owned()),
        (!peer.load_options).then(|| "no load options".to_owned()),
        limit(peer.max_concurrent.map(u64::from), "at once"),
        limit(peer.requests_per_minute.map(u64::from), "a minute"),
        limit(peer.max_body, "bytes a body"),
        priority,
    ];
    let quotas = peer.quotas.iter().map(|quota| format!("{} used", quota.used_of_limit()));
    all.into_iter().flatten().chain(quotas).collect()
}

fn truncated(text: &str) -> String {
    match text.char_indices().nth(GRANT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
