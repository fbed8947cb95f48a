//! Sweeps: re-checks all sessions against the netmap whenever the tailnet or the config may have changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::audit::{AuditSink, Ended, Journal};
use crate::config::Config;
use crate::policy::AccessMode;
use crate::proxy::{Port, Sweep};
use crate::settings::Settings;
use crate::tailnet::{Member, Netmap, NodeStatus, PortMembers};

/// The pause between sweeps without a notification. They detect time-based changes, such as a peer's key that expires.
const SWEEP: Duration = Duration::from_secs(5);

/// Sweeps take at most one part in so many of the time, in a tailnet of any size.
const SWEEP_SHARE: u32 = 20;

/// How long the list of a sweep may take. After that, the sessions that it was to confirm are cut.
const CONFIRM: Duration = Duration::from_secs(2);

/// The pause before a failed list is requested again.
const RETRY: Duration = Duration::from_millis(100);

/// The ports of the node: the peers that may connect to each number, and the sessions to sweep.
#[derive(Default)]
pub struct WatchedPorts {
    members: BTreeMap<u16, watch::Sender<Arc<Vec<Member>>>>,
    ports: Vec<Port>,
}

impl WatchedPorts {
    /// Adds `port`, which accepts sessions at `numbers`.
    pub fn add(&mut self, port: &Port, numbers: impl IntoIterator<Item = u16>) {
        self.members.extend(numbers.into_iter().map(|number| (number, watch::Sender::default())));
        self.ports.push(port.clone());
    }

    /// The peers of the netmap as each port saw them in the last sweep.
    pub fn members(&self) -> BTreeMap<u16, watch::Receiver<Arc<Vec<Member>>>> {
        self.members.iter().map(|(number, members)| (*number, members.subscribe())).collect()
    }

    fn begin_sweeps(&self) -> Vec<Sweep> {
        self.ports.iter().map(Port::sweep).collect()
    }

    fn publish(&self, lists: &[PortMembers]) {
        for PortMembers { port, members } in lists {
            if let Some(latest) = self.members.get(port) {
                latest.send_replace(Arc::clone(members));
            }
        }
    }

    fn forget_members(&self) {
        for latest in self.members.values() {
            latest.send_replace(Arc::default());
        }
    }
}

/// Sweeps the sessions of one node.
pub struct Sweeper<N> {
    /// What is in force.
    pub settings: Arc<Settings>,
    /// The source of lists.
    pub netmap: Arc<N>,
    /// What is swept.
    pub ports: WatchedPorts,
    /// The status of the node.
    pub node_status: watch::Receiver<NodeStatus>,
    /// Notified when the netmap or the packet filter may have changed.
    pub changed: Arc<Notify>,
    /// Records changes of access.
    pub audit: Arc<AuditSink>,
}

/// The netmap, as each port sees it.
struct NetmapList {
    ports: Vec<PortMembers>,
    /// When the request for it was made.
    requested: Instant,
}

impl<N: Netmap> Sweeper<N> {
    /// Ends only if `node_status` does.
    pub async fn run(&self) {
        let mut configs = self.settings.configs();
        let mut journal = self.new_journal();
        let mut out = None;
        loop {
            let config = Arc::clone(&configs.borrow_and_update());
            let mut took = Duration::ZERO;
            let before = std::mem::replace(&mut out, self.out_of_tailnet());
            if let Some(reason) = out {
                self.cut_all(reason, before != out);
            } else {
                tokio::select! {
                    list = self.sweep(&config) => {
                        took = list.requested.elapsed();
                        journal = self.note(journal, config.access.mode, list.ports).await;
                    }
                    alive = self.out_of_tailnet_changes(out) => if alive { continue } else { return },
                }
            }
            tokio::select! {
                () = self.changed.notified() => {}
                _ = configs.changed() => {}
                alive = self.out_of_tailnet_changes(out) => if !alive { return },
                () = sleep(SWEEP.max(took.min(CONFIRM) * SWEEP_SHARE)) => {}
            }
        }
    }

    fn out_of_tailnet(&self) -> Option<&'static str> {
        self.node_status.borrow().out_of_tailnet()
    }

    /// Waits until the reason why the node is out of the tailnet is another one than `out`. False: there will be no other.
    async fn out_of_tailnet_changes(&self, out: Option<&'static str>) -> bool {
        let mut node_status = self.node_status.clone();
        node_status.wait_for(|node| node.out_of_tailnet() != out).await.is_ok()
    }

    /// Cuts all sessions: the node is out of the tailnet and serves no peer, whatever the last netmap said.
    fn cut_all(&self, reason: &str, is_new: bool) {
        let cut: usize = self.ports.begin_sweeps().iter().map(|sweep| sweep.cut(Ended::OutOfTailnet)).sum();
        self.ports.forget_members();
        if is_new || cut > 0 {
            tracing::warn!(reason, cut, "sessions cut: the node is no longer in the tailnet");
        }
    }

    /// Re-checks all sessions against one list of the netmap, and publishes the list.
    async fn sweep(&self, config: &Config) -> NetmapList {
        let sweeps = self.ports.begin_sweeps();
        let list = self.list(&config.access.capability).await;
        let by = list.ports.clone();
        // On another thread: a large tailnet takes longer than a task may block.
        let checked = spawn_blocking(move || {
            for sweep in &sweeps {
                sweep.judge(&by);
            }
        });
        if let Err(error) = checked.await {
            tracing::error!(%error, "the sweep panicked: retrying within 5 s");
        }
        self.ports.publish(&list.ports);
        list
    }

    /// Lists the netmap. While there is no list, sessions whose access was last confirmed [`CONFIRM`] ago are cut.
    async fn list(&self, capability: &str) -> NetmapList {
        let mut list = std::pin::pin!(self.list_with_retries(capability));
        let mut logged = false;
        loop {
            let unconfirmed = self.ports.begin_sweeps();
            if let Ok(list) = timeout(CONFIRM, &mut list).await {
                return list;
            }
            let cut: usize = unconfirmed.iter().map(|sweep| sweep.cut(Ended::Unconfirmed)).sum();
            if cut > 0 || !logged {
                tracing::error!(
                    cut,
                    "sessions cut: the netmap could not be read for 2 s, so their access is unconfirmed"
                );
            }
            logged = true;
        }
    }

    async fn list_with_retries(&self, capability: &str) -> NetmapList {
        let mut logged = false;
        loop {
            let numbers = self.ports.members.keys().copied().collect();
            let requested = Instant::now();
            match self.netmap.members(numbers, capability).await {
                Ok(lists) => {
                    let lists = lists.into_iter();
                    let ports = lists.map(|(port, members)| PortMembers { port, members: Arc::new(members) });
                    return NetmapList { ports: ports.collect(), requested };
                }
                Err(error) if !logged => tracing::error!(error, "cannot read the netmap: retrying"),
                Err(_) => {}
            }
            logged = true;
            sleep(RETRY).await;
        }
    }

    /// Has the journal compare the list with the one before, on another thread like the sweep.
    async fn note(&self, mut journal: Journal, access: AccessMode, lists: Vec<PortMembers>) -> Journal {
        let noted = spawn_blocking(move || {
            for PortMembers { port, members } in lists {
                journal.observe(port, access, &members);
            }
            journal
        });
        noted.await.unwrap_or_else(|error| {
            tracing::error!(%error, "comparing lists for the journal panicked: starting over with the next list");
            self.new_journal()
        })
    }

    fn new_journal(&self) -> Journal {
        Journal::new(Arc::clone(&self.audit))
    }
}
