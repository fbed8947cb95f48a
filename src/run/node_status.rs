//! Keeps the node's status up to date from its events.

use crate::tailnet::NodeStatus;
use crate::tsnet::{Event, Status};

/// The status of a node that has not joined yet.
pub(super) fn joining() -> NodeStatus {
    NodeStatus { state: "Starting".to_owned(), ..NodeStatus::default() }
}

/// The status of a node that has just joined.
pub(super) fn joined(status: &Status) -> NodeStatus {
    NodeStatus {
        state: "Running".to_owned(),
        dns_name: status.dns_name.clone(),
        addresses: status.addresses.clone(),
        user: status.user.clone(),
        tags: status.tags.clone(),
        magic_dns: status.magic_dns,
        cert_domains: status.cert_domains.clone(),
        ..NodeStatus::default()
    }
}

/// Applies an event.
pub(super) fn note(node: &mut NodeStatus, event: &Event) {
    let state = match event {
        Event::Running => "Running",
        Event::Starting => "Starting",
        Event::Stopped => "Stopped",
        Event::NeedsLogin => "NeedsLogin",
        Event::NeedsApproval => "NeedsMachineAuth",
        Event::KeyExpiry(at) => return node.key_expiry.clone_from(at),
        Event::Health(warnings) => return node.warnings.clone_from(warnings),
        Event::ClockAhead(seconds) => return node.clock_ahead = *seconds,
        Event::Assigned(status) => {
            node.cert_domains.clone_from(&status.cert_domains);
            node.dns_name.clone_from(&status.dns_name);
            node.user.clone_from(&status.user);
            node.tags.clone_from(&status.tags);
            node.magic_dns = status.magic_dns;
            if let Some(service) = &mut node.service {
                service.addresses.clone_from(&status.service_addresses);
            }
            return node.addresses.clone_from(&status.addresses);
        }
        Event::Deleted(reason) => return node.deleted.clone_from(reason),
        Event::Failed(error) => return node.error = Some(error.to_string()),
        _ => return,
    };
    state.clone_into(&mut node.state);
    if state == "Running" {
        node.error = None;
    }
}
