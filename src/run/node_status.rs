//! How the node stands in the tailnet, kept up to date by its events.

use crate::tailnet::NodeStatus;
use crate::tsnet::{Event, Status};

/// Of a node that is still to come up.
pub(super) fn joining() -> NodeStatus {
    NodeStatus { state: "Starting".to_owned(), ..NodeStatus::default() }
}

/// Of a node that has just come up.
pub(super) fn first(status: &Status) -> NodeStatus {
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

/// Takes an event over.
pub(super) fn note(situation: &mut NodeStatus, event: &Event) {
    let state = match event {
        Event::Running => "Running",
        Event::Starting => "Starting",
        Event::Stopped => "Stopped",
        Event::NeedsLogin => "NeedsLogin",
        Event::NeedsApproval => "NeedsMachineAuth",
        Event::KeyExpiry(at) => return situation.key_expiry.clone_from(at),
        Event::Health(warnings) => return situation.warnings.clone_from(warnings),
        Event::ClockAhead(seconds) => return situation.clock_ahead = *seconds,
        Event::Assigned(status) => {
            situation.cert_domains.clone_from(&status.cert_domains);
            situation.dns_name.clone_from(&status.dns_name);
            situation.user.clone_from(&status.user);
            situation.tags.clone_from(&status.tags);
            situation.magic_dns = status.magic_dns;
            if let Some(service) = &mut situation.service {
                service.addresses.clone_from(&status.service_addresses);
            }
            return situation.addresses.clone_from(&status.addresses);
        }
        Event::Deleted(reason) => return situation.deleted.clone_from(reason),
        Event::Failed(error) => return situation.error = Some(error.to_string()),
        _ => return,
    };
    state.clone_into(&mut situation.state);
    if state == "Running" {
        situation.error = None;
    }
}
