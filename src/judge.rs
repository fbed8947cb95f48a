//! Judging sessions again by what the tailnet says now, for as long as the node runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::audit::{Ended, Journal, Watcher};
use crate::config::Config;
use crate::policy::AccessMode;
use crate::proxy::{Port, Roster, Sweep};
use crate::settings::Settings;
use crate::sink::Sink;
use crate::tailnet::{Member, Netmap, Situation};

/// How often sessions are judged without a notification, for what changes by the clock alone, such as
/// the expiry of a peer's key.
const SWEEP: Duration = Duration::from_secs(5);

/// Sweeps take at most one part in so many of the time, however large the tailnet is.
const SWEEP_SHARE: u32 = 20;

/// How long the list of a sweep may take. After that, sessions whose access it was to confirm are cut.
const CONFIRM: Duration = Duration::from_secs(2);

/// How long after a failure the list is requested again.
const RETRY: Duration = Duration::from_millis(100);

/// The ports of the node, by their numbers: who may connect to each, and whose sessions are judged by it.
#[derive(Default)]
pub struct Watched {
    rosters: BTreeMap<u16, watch::Sender<Arc<Vec<Member>>>>,
    ports: Vec<Port>,
}

impl Watched {
    /// `port` has sessions at these numbers.
    pub fn add(&mut self, port: &Port, numbers: impl IntoIterator<Item = u16>) {
        self.rosters.extend(numbers.into_iter().map(|number| (number, watch::Sender::default())));
        self.ports.push(port.clone());
    }

    /// Everybody in the netmap, as of the last sweep, and whether they may connect to each port.
    pub fn rosters(&self) -> BTreeMap<u16, watch::Receiver<Arc<Vec<Member>>>> {
        self.rosters.iter().map(|(number, roster)| (*number, roster.subscribe())).collect()
    }

    fn sweep(&self) -> Vec<Sweep> {
        self.ports.iter().map(Port::sweep).collect()
    }
}

/// Judges all sessions whenever the tailnet or the config may have changed.
pub struct Judge<N> {
    /// What is in force.
    pub settings: Arc<Settings>,
    /// Where lists come from.
    pub netmap: Arc<N>,
    /// What is judged.
    pub watched: Watched,
    /// How the node stands.
    pub situation: watch::Receiver<Situation>,
    /// Told when the netmap or the packet filter may have changed.
    pub changed: Notify,
    /// Where the journal goes.
    pub journal: Arc<Sink>,
    /// Told what the journal is told.
    pub watcher: Option<Arc<dyn Watcher>>,
}

impl<N: Netmap> Judge<N> {
    /// Does not end by itself.
    pub async fn run(&self) {
        let mut configs = self.settings.configs();
        let mut journal = self.journal();
        let mut out = None;
        loop {
            let config = Arc::clone(&configs.borrow_and_update());
            let mut took = Duration::ZERO;
            let before = std::mem::replace(&mut out, self.out());
            match out {
                Some(why) => self.close(why, before != out),
                None => tokio::select! {
                    (rosters, asked) = self.sweep(&config) => {
                        took = asked.elapsed();
                        journal = self.note(journal, config.access.mode, rosters).await;
                    }
                    () = self.turn(out) => continue,
                },
            }
            tokio::select! {
                () = self.changed.notified() => {}
                _ = configs.changed() => {}
                () = self.turn(out) => {}
                () = sleep(SWEEP.max(took.min(CONFIRM) * SWEEP_SHARE)) => {}
            }
        }
    }

    fn out(&self) -> Option<&'static str> {
        self.situation.borrow().out_of_tailnet()
    }

    /// Waits until the node leaves the tailnet, or is in it again, or is out of it for another reason than
    /// `out`.
    async fn turn(&self, out: Option<&'static str>) {
        let mut situation = self.situation.clone();
        if situation.wait_for(|situation| situation.out_of_tailnet() != out).await.is_err() {
            std::future::pending().await // the sender lives as long as the node is followed
        }
    }

    /// The node serves no peer, whatever the last netmap said.
    fn close(&self, why: &str, news: bool) {
        let cut: usize = self.watched.sweep().iter().map(|sweep| sweep.cut(Ended::OutOfTailnet)).sum();
        self.watched.rosters.values().for_each(|roster| drop(roster.send_replace(Arc::default())));
        if news || cut > 0 {
            tracing::warn!(why, cut, "sessions cut: the node is no longer in the tailnet");
        }
    }

    /// Judges all sessions by one list of the netmap. Returns it, and when it was requested.
    async fn sweep(&self, config: &Config) -> (Vec<Roster>, Instant) {
        let sweeps = self.watched.sweep();
        let (rosters, asked) = self.list(&config.access.capability).await;
        let by = rosters.clone();
        // On another thread: in a large tailnet that takes longer than a task may.
        let judged = tokio::task::spawn_blocking(move || {
            for sweep in &sweeps {
                sweep.judge(&by);
            }
        });
        if let Err(error) = judged.await {
            tracing::error!(%error, "judging the sessions broke off: it is tried again within 5 s");
        }
        for (number, members) in &rosters {
            if let Some(roster) = self.watched.rosters.get(number) {
                roster.send_replace(Arc::clone(members));
            }
        }
        (rosters, asked)
    }

    /// Who may connect to each port, and when the request that was answered was made. While there is no list, sessions are cut once they have gone without
    /// one for [`CONFIRM`].
    async fn list(&self, capability: &str) -> (Vec<Roster>, Instant) {
        let list = async {
            let mut said = false;
            loop {
                let numbers = self.watched.rosters.keys().copied().collect();
                let asked = Instant::now();
                match self.netmap.members(numbers, capability).await {
                    Ok(members) => break (members, asked),
                    Err(error) if !said => tracing::error!(error, "the netmap can't be read: tried again"),
                    Err(_) => {}
                }
                said = true;
                sleep(RETRY).await;
            }
        };
        let mut list = std::pin::pin!(list);
        let mut said = false;
        loop {
            let unconfirmed = self.watched.sweep();
            if let Ok((members, asked)) = timeout(CONFIRM, &mut list).await {
                let rosters = members.into_iter().map(|(number, members)| (number, Arc::new(members)));
                return (rosters.collect(), asked);
            }
            let cut: usize = unconfirmed.iter().map(|sweep| sweep.cut(Ended::Unconfirmed)).sum();
            if cut > 0 || !said {
                tracing::error!(
                    cut,
                    "sessions cut: the netmap could not be read for 2 s, so their access is unconfirmed"
                );
            }
            said = true;
        }
    }

    /// Has the journal compare `rosters` with what it saw last, on another thread as with judging.
    async fn note(&self, mut journal: Journal, access: AccessMode, rosters: Vec<Roster>) -> Journal {
        let noted = tokio::task::spawn_blocking(move || {
            for (port, members) in rosters {
                journal.observe(port, access, &members);
            }
            journal
        });
        noted.await.unwrap_or_else(|error| {
            tracing::error!(%error, "comparing access for the journal broke off: it begins again with the next list");
            self.journal()
        })
    }

    fn journal(&self) -> Journal {
        Journal::new(Arc::clone(&self.journal)).watched_by(self.watcher.clone())
    }
}
