//! How a part of the proxy raises an event: it never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};

use super::{Event, EventKind, Occurrence};
use crate::config::Config;

/// How many raised events may wait until they are coalesced, which takes no time to speak of.
const INCOMING: usize = 1024;

/// Takes events from every part of the proxy.
#[derive(Clone)]
pub struct Events {
    config: watch::Receiver<Arc<Config>>,
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

/// The other end, for [`run_events`](super::run_events).
pub struct Incoming {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) events: mpsc::Receiver<Event>,
    /// How many events were dropped since the last one that the command was run for.
    pub(super) dropped: Arc<AtomicU64>,
}

impl Events {
    /// Events as `config` wants them, also after a reload.
    pub fn new(config: watch::Receiver<Arc<Config>>) -> (Events, Incoming) {
        let (sender, events) = mpsc::channel(INCOMING);
        let dropped = Arc::<AtomicU64>::default();
        let incoming = Incoming { config: config.clone(), events, dropped: Arc::clone(&dropped) };
        (Events { config, sender, dropped }, incoming)
    }

    /// Whether the command is run for events of this kind.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.config.borrow().events.wants(kind)
    }

    /// The config, and each later one.
    pub fn configs(&self) -> watch::Receiver<Arc<Config>> {
        self.config.clone()
    }

    /// Has the command run for `occurrence`, if the config wants it.
    pub fn raise(&self, occurrence: Occurrence) {
        if self.wants(occurrence.kind()) && self.sender.try_send(Event::now(occurrence)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
