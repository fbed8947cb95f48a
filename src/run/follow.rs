//! What happens to the node and its tailnet while the proxy runs: names, health, and who may what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};

use super::expiry::Expiry;
use super::situation;
use crate::audit::{Journal, Watcher};
use crate::proxy::Port;
use crate::settings::Settings;
use crate::tailnet::{Member, Situation};
use crate::tsnet::{Error, Event, Node, Status};

/// How often live connections are judged without a notification, for what comes about by the clock
/// alone, such as the expiry of a peer's key.
const SWEEP: Duration = Duration::from_secs(5);

/// That takes no more than one part in so many of the time, however large the tailnet is.
const SWEEP_SHARE: u32 = 20;

/// The ports of the node, by their numbers: who may connect to each, and whose connections are judged by it.
#[derive(Default)]
pub(super) struct Watched {
    rosters: BTreeMap<u16, watch::Sender<Arc<Vec<Member>>>>,
    ports: Vec<Port>,
}

impl Watched {
    /// `port` has connections at these numbers.
    pub(super) fn add(&mut self, port: &Port, numbers: impl IntoIterator<Item = u16>) {
        self.rosters.extend(numbers.into_iter().map(|number| (number, watch::Sender::default())));
        self.ports.push(port.clone());
    }

    /// Everybody in the netmap, as of the last change, and whether they may connect to each port.
    pub(super) fn rosters(&self) -> BTreeMap<u16, watch::Receiver<Arc<Vec<Member>>>> {
        self.rosters.iter().map(|(number, roster)| (*number, roster.subscribe())).collect()
    }
}

/// Follows one node.
pub(super) struct Follower {
    settings: Arc<Settings>,
    node: Arc<Node>,
    watched: Watched,
    /// How the node stands, as of the last event; there to be asked for before the node has come up.
    situation: watch::Sender<Situation>,
    watcher: Option<Arc<dyn Watcher>>,
    changed: Notify,
    expiry: Mutex<Expiry>,
}

impl Follower {
    /// `status` is that of the node, which has just come up; `watcher`, if there is one, is told what the
    /// journal is told.
    pub(super) fn new(
        settings: Arc<Settings>,
        node: Arc<Node>,
        watched: Watched,
        situation: watch::Sender<Situation>,
        status: &Status,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        situation.send_replace(situation::first(status));
        let (changed, expiry) = Default::default();
        Follower { settings, node, watched, situation, watcher, changed, expiry }
    }

    /// Returns what the node can't go on with.
    pub(super) async fn run(&self) -> Error {
        tokio::select! {
            ended = self.events() => ended.err().unwrap_or(Error::Closed),
            () = self.judge() => Error::Closed,
        }
    }

    async fn events(&self) -> Result<(), Error> {
        let mut events = self.node.events().await?;
        while let Some(event) = events.next().await {
            self.situation.send_modify(|known| situation::note(known, &event));
            match event {
                Event::Running => tracing::info!("the tailnet node is running"),
                Event::Health(warnings) if warnings.is_empty() => {
                    tracing::info!("the tailnet node is healthy")
                }
                Event::Health(warnings) => tracing::warn!(?warnings, "the tailnet node is not healthy"),
                Event::Assigned { dns_name, addresses, service_addresses, .. } => {
                    self.settings.named(dns_name, addresses, service_addresses);
                    // At its new addresses everybody has a standing of their own.
                    self.changed.notify_one();
                }
                Event::NetmapChanged => self.changed.notify_one(),
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
                    "a connection was refused, since the tailnet does not say who its peer is; the next ones are not said"
                ),
                Event::NeedsLogin => {
                    tracing::error!("the node is no longer logged in: its key was removed or has expired");
                }
                Event::Failed(error @ Error::LoggingRequired) => return Err(error),
                Event::Failed(error @ Error::KeyExpired { .. }) => tracing::error!(
                    %error,
                    "nobody can reach the tailnet node: extend its key in the admin console, or stop this, run `remote-ollama-proxy login` and start it again"
                ),
                // The node recovers once somebody has acted in the admin console.
                Event::Failed(error) => tracing::error!(%error, "nobody can reach the tailnet node"),
                other => tracing::debug!(?other, "the tailnet node"),
            }
        }
        Ok(())
    }

    fn expiry(&self) -> std::sync::MutexGuard<'_, Expiry> {
        self.expiry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn_of_expiry(&self) {
        if let Some(left) = self.expiry().due(SystemTime::now()) {
            let left = humantime::format_duration(Duration::from_secs(left.as_secs() / 60 * 60));
            tracing::warn!(
                %left,
                "the node's key expires, and then nobody reaches it: disable its key expiry in the admin console, or log it in again once it has expired"
            );
        }
    }

    /// Judges everybody whenever the tailnet's word or the config may have changed, and keeps the
    /// journal.
    async fn judge(&self) {
        let mut configs = self.settings.configs();
        let journal = Journal::open(&self.settings.config().node.state_dir.join(Journal::FILE));
        let mut journal = journal.watched_by(self.watcher.clone());
        loop {
            let config = Arc::clone(&configs.borrow_and_update());
            let access = &config.access;
            let begun = Instant::now();
            let mut rosters = Vec::new();
            for number in self.watched.rosters.keys() {
                match self.node.members(*number, &access.capability).await {
                    Ok(members) => rosters.push((*number, Arc::new(members))),
                    Err(error) => tracing::error!(%error, "the peers of the tailnet can't be told"),
                }
            }
            self.watched.ports.iter().for_each(|port| {
                port.judge(&rosters);
            });
            for (number, members) in rosters {
                journal.observe(number, access.mode, &members);
                if let Some(roster) = self.watched.rosters.get(&number) {
                    roster.send_replace(members);
                }
            }
            tokio::select! {
                () = self.changed.notified() => {}
                _ = configs.changed() => {}
                () = tokio::time::sleep(SWEEP.max(begun.elapsed() * SWEEP_SHARE)) => {}
            }
            self.warn_of_expiry();
        }
    }
}
