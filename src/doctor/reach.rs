//! Who can reach the node, and whether that is wider than the policy file meant.

use super::Finding;
use crate::admin::{Who, WhoPeer};
use crate::config::Config;
use crate::policy::AccessMode;
use crate::tailnet::Situation;

/// The tag in the lines that `remote-ollama-proxy acl` prints where the config has none.
const TAG: &str = "tag:ai-server";

pub(super) fn reach(config: &Config, node: &Situation, who: &Who) -> Finding {
    let admitted: Vec<&WhoPeer> = who.peers.iter().filter(|peer| peer.may_connect).collect();
    let mut principals: Vec<_> = admitted.iter().map(|peer| peer.member.principal()).collect();
    principals.sort();
    principals.dedup();
    let shown = match principals.len() {
        0..=5 => principals.join(", "),
        n => format!("{} and {} more", principals[..5].join(", "), n - 5),
    };
    if who.anybody {
        return Finding::fault(
            "reach",
            "the tailnet policy lets every device of the tailnet connect, also those that come to be",
            format!("name a tag, a group or people as the source: {}", lines(config, node)),
        );
    }
    if admitted.is_empty() {
        return Finding::warning(
            "reach",
            "nobody may connect now",
            format!("add them to the tailnet policy file: {}", lines(config, node)),
        );
    }
    let faulty = admitted.iter().filter(|peer| !peer.faults.is_empty()).count();
    if faulty > 0 {
        return Finding::warning(
            "reach",
            format!("of {} a grant grants nothing, since it has a fault", devices(faulty)),
            "`remote-ollama-proxy who` says which; mend it in the tailnet policy file",
        );
    }
    let narrowed = match config.access.mode {
        AccessMode::Grants => "each by a grant",
        AccessMode::Network => "narrowed by grants where there are any",
    };
    Finding::good("reach", format!("{} of {shown} may connect, {narrowed}", devices(admitted.len())))
}

/// Where the lines for the policy file come from, and what to change in them for this node: they are for a tag.
fn lines(config: &Config, node: &Situation) -> String {
    let tag = config.node.tags.first().map_or(TAG, String::as_str);
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
