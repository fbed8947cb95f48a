//! Which peers can reach the node, and whether the policy file admits more than was meant.

use super::finding::Finding;
use crate::admin::{Who, WhoPeer};
use crate::config::Config;
use crate::policy::AccessMode;
use crate::tailnet::NodeStatus;

/// The tag in the lines that `remote-ollama-proxy acl` prints if the config has none.
const DEFAULT_TAG: &str = "tag:ai-server";

/// How many identities are named.
const NAMED: usize = 5;

pub(super) fn reach(config: &Config, node: &NodeStatus, who: &Who) -> Finding {
    if who.open_to_unknown_devices {
        return Finding::fault(
            "reach",
            "the tailnet policy file lets every device of the tailnet connect, including devices that join later",
            format!("name a tag, a group or people as the source: {}", policy_lines(config, node)),
        );
    }
    let admitted: Vec<&WhoPeer> = who.peers.iter().filter(|peer| peer.may_connect).collect();
    if admitted.is_empty() {
        return Finding::warning(
            "reach",
            "no peer may connect now",
            format!(
                "give a device a tag that the tailnet policy file admits, or add peers to that file: {}",
                policy_lines(config, node)
            ),
        );
    }
    let faulty = admitted.iter().filter(|peer| !peer.faults.is_empty()).count();
    if faulty > 0 {
        return Finding::warning(
            "reach",
            format!("{} may connect with a faulty grant, which grants nothing", devices(faulty)),
            "correct the grant in the tailnet policy file; `remote-ollama-proxy who` shows the fault",
        );
    }
    let narrowed = match config.access.mode {
        AccessMode::Grants => "each by a grant",
        AccessMode::Network => "narrowed by grants where there are any",
    };
    let owners = owners(&admitted);
    Finding::good("reach", format!("{} of {owners} may connect, {narrowed}", devices(admitted.len())))
}

/// The users and tags of the peers, the first few by name.
fn owners(peers: &[&WhoPeer]) -> String {
    let mut owners: Vec<_> = peers.iter().map(|peer| peer.member.principal()).collect();
    owners.sort();
    owners.dedup();
    match owners.len() {
        0..=NAMED => owners.join(", "),
        n => format!("{} and {} more", owners[..NAMED].join(", "), n - NAMED),
    }
}

/// Where the lines for the policy file come from. The printed lines are for a tag, so the text says what to write instead
/// if the node does not have it.
fn policy_lines(config: &Config, node: &NodeStatus) -> String {
    let tag = config.node.tags.first().map_or(DEFAULT_TAG, String::as_str);
    let printed = "`remote-ollama-proxy acl` prints the lines";
    let instead = match (node.tags.first(), node.addresses.first()) {
        _ if node.tags.iter().any(|has| has == tag) => return printed.to_owned(),
        (Some(has), _) => has.clone(),
        (None, Some(address)) => format!("{address}, its address, since it has no tag,"),
        (None, None) => return printed.to_owned(),
    };
    format!("{printed}; write {instead} in place of {tag}")
}

fn devices(n: usize) -> String {
    if n == 1 { "1 device".to_owned() } else { format!("{n} devices") }
}
