//! Follows the node's events while the proxy runs: its status, its names, and changes that call for a sweep.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::node_status;
use crate::control::ControlTask;
use crate::settings::Settings;
use crate::tailnet::{Member, Netmap, NodeStatus};
use crate::tsnet::{Error, Event, Node, Status};

impl Netmap for Node {
    async fn members(&self, ports: Vec<u16>, capability: &str) -> Result<BTreeMap<u16, Vec<Member>>, String> {
        Node::members(self, ports, capability).await.map_err(|error| error.to_string())
    }
}

/// The events of one node.
pub(super) struct NodeEvents {
    pub(super) settings: Arc<Settings>,
    pub(super) node: Arc<Node>,
    pub(super) node_status: watch::Sender<NodeStatus>,
    /// Notified when a sweep is due.
    pub(super) changed: Arc<Notify>,
}

impl NodeEvents {
    /// Returns the error that ends the node.
    pub(super) async fn run(&self) -> Error {
        let mut events = match self.node.events().await {
            Ok(events) => events,
            Err(error) => return error,
        };
        while let Some(event) = events.next().await {
            self.node_status.send_modify(|node| node_status::note(node, &event));
            match event {
                Event::Assigned(Status { dns_name, addresses, service_addresses, .. }) => {
                    self.settings.set_names(dns_name, addresses, service_addresses);
                    self.changed.notify_one(); // verdicts depend on our addresses
                }
                Event::NetmapChanged => self.changed.notify_one(),
                Event::Failed(error @ Error::LoggingRequired) => return error,
                event => log(&event, self.settings.config().node.control_url.as_deref()),
            }
        }
        Error::Closed
    }
}

fn log(event: &Event, control_url: Option<&str>) {
    match event {
        Event::Running => tracing::info!("the tailnet node is running"),
        Event::Health(warnings) if warnings.is_empty() => tracing::info!("the tailnet node is healthy"),
        Event::Health(warnings) => tracing::warn!(?warnings, "the tailnet node is not healthy"),
        Event::ClockAhead(seconds) => log_clock(*seconds),
        Event::Deleted(Some(reason)) => tracing::error!(
            reason,
            "peers can't reach the node: stop the proxy, run `remote-ollama-proxy logout`, and start it again with a new key or after `remote-ollama-proxy login`"
        ),
        Event::Deleted(None) => tracing::info!("the control server knows the node again"),
        Event::Refused(reason) => {
            tracing::warn!(
                reason,
                "connection refused: the peer has no identity (each reason is logged once)"
            );
        }
        Event::NeedsLogin => {
            tracing::error!("the node is no longer logged in: its key was removed or has expired");
        }
        Event::Failed(error @ Error::KeyExpired { .. }) => tracing::error!(
            %error,
            "peers can't reach the node: {}, or stop the proxy, run `remote-ollama-proxy login` and start it again",
            ControlTask::ExtendKey.at(control_url)
        ),
        // The node recovers by itself once the cause is removed at the control server.
        Event::Failed(error) => tracing::error!(%error, "peers can't reach the node"),
        other => tracing::debug!(event = ?other, "event of the tailnet node"),
    }
}

/// `ahead`: seconds by which this machine's clock is ahead of the control server's.
fn log_clock(ahead: i64) {
    if ahead == 0 {
        return tracing::info!("this machine's clock is right again");
    }
    let by = crate::time::format_duration(Duration::from_secs(ahead.unsigned_abs()));
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    tracing::warn!(
        "this machine's clock is {by} {direction} the control server's: set it, best by NTP; a wrong clock expires keys at the wrong time and makes certificates invalid"
    );
}
