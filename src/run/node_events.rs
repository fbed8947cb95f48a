//! What happens to the node while the proxy runs: names, health, and what its sessions are judged by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};

use super::expiry::Expiry;
use super::node_status;
use crate::audit::Watcher;
use crate::control::ControlTask;
use crate::settings::Settings;
use crate::sink::Sink;
use crate::sweeper::{Sweeper, WatchedPorts};
use crate::tailnet::{Member, Netmap, NodeStatus};
use crate::tsnet::{Error, Event, Node, Status};

/// How often it is looked whether the expiry of the node's key has to be said.
const REMIND: Duration = Duration::from_secs(60);

impl Netmap for Node {
    async fn members(&self, ports: Vec<u16>, capability: &str) -> Result<BTreeMap<u16, Vec<Member>>, String> {
        Node::members(self, ports, capability).await.map_err(|error| error.to_string())
    }
}

/// Follows one node.
pub(super) struct Follower {
    settings: Arc<Settings>,
    node: Arc<Node>,
    /// How the node stands, as of the last event; there to be asked for before the node has come up.
    situation: watch::Sender<NodeStatus>,
    judge: Sweeper<Node>,
    expiry: Mutex<Expiry>,
}

impl Follower {
    /// `status` is that of the node, which has just come up; `journal` is where the journal goes; `watcher`, if there
    /// is one, is told what the journal is told.
    pub(super) fn new(
        settings: Arc<Settings>,
        node: Arc<Node>,
        watched: WatchedPorts,
        situation: watch::Sender<NodeStatus>,
        status: &Status,
        journal: Arc<Sink>,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        situation.send_replace(node_status::first(status));
        let judge = Sweeper {
            settings: Arc::clone(&settings),
            netmap: Arc::clone(&node),
            watched,
            situation: situation.subscribe(),
            changed: Notify::new(),
            journal,
            watcher,
        };
        Follower { settings, node, situation, judge, expiry: Mutex::default() }
    }

    /// Returns what the node can't go on with.
    pub(super) async fn run(&self) -> Error {
        let reminders = async {
            loop {
                tokio::time::sleep(REMIND).await;
                self.warn_of_expiry();
            }
        };
        tokio::select! {
            ended = self.events() => ended.err().unwrap_or(Error::Closed),
            () = self.judge.run() => Error::Closed,
            never = reminders => never,
        }
    }

    async fn events(&self) -> Result<(), Error> {
        let mut events = self.node.events().await?;
        while let Some(event) = events.next().await {
            self.situation.send_modify(|known| node_status::note(known, &event));
            match event {
                Event::Running => tracing::info!("the tailnet node is running"),
                Event::Health(warnings) if warnings.is_empty() => {
                    tracing::info!("the tailnet node is healthy")
                }
                Event::Health(warnings) => tracing::warn!(?warnings, "the tailnet node is not healthy"),
                Event::Assigned(Status { dns_name, addresses, service_addresses, .. }) => {
                    self.settings.set_names(dns_name, addresses, service_addresses);
                    // At its new addresses everybody has a standing of their own.
                    self.judge.changed.notify_one();
                }
                Event::NetmapChanged => self.judge.changed.notify_one(),
                Event::KeyExpiry(at) => {
                    self.expiry().set(at.as_deref());
                    self.warn_of_expiry();
                }
                Event::ClockAhead(0) => tracing::info!("this machine's clock is right again"),
                Event::ClockAhead(seconds) => {
                    let by = humantime::format_duration(Duration::from_secs(seconds.unsigned_abs()));
                    let ahead = if seconds > 0 { "ahead of" } else { "behind" };
                    tracing::warn!(
                        "this machine's clock is {by} {ahead} the control server's: set it, best by NTP; with a wrong one keys expire at the wrong time and certificates are refused"
                    );
                }
                Event::Deleted(Some(reason)) => tracing::error!(
                    reason,
                    "nobody can reach the tailnet node: stop this, run `remote-ollama-proxy logout`, and start it again with a new key or after `remote-ollama-proxy login`"
                ),
                Event::Deleted(None) => tracing::info!("the control server knows the node again"),
                Event::Refused(reason) => tracing::warn!(
                    reason,
                    "connection refused: the identity of its peer is not known (each reason is logged once)"
                ),
                Event::NeedsLogin => {
                    tracing::error!("the node is no longer logged in: its key was removed or has expired");
                }
                Event::Failed(error @ Error::LoggingRequired) => return Err(error),
                Event::Failed(error @ Error::KeyExpired { .. }) => tracing::error!(
                    %error,
                    "nobody can reach the tailnet node: {}, or stop this, run `remote-ollama-proxy login` and start it again",
                    self.at_control(ControlTask::ExtendKey)
                ),
                // The node recovers once somebody has acted at the control server.
                Event::Failed(error) => tracing::error!(%error, "nobody can reach the tailnet node"),
                other => tracing::debug!(?other, "the tailnet node"),
            }
        }
        Ok(())
    }

    fn at_control(&self, task: ControlTask) -> String {
        task.at(self.settings.config().node.control_url.as_deref())
    }

    fn expiry(&self) -> std::sync::MutexGuard<'_, Expiry> {
        self.expiry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn_of_expiry(&self) {
        if let Some(left) = self.expiry().due(SystemTime::now()) {
            let left = humantime::format_duration(Duration::from_secs(left.as_secs() / 60 * 60));
            tracing::warn!(
                %left,
                "the node's key expires, and then nobody reaches it: {}, or log it in again once it has expired",
                self.at_control(ControlTask::DisableExpiry)
            );
        }
    }
}
