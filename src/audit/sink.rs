//! Where records go: the metrics, the access log, the journal, the page's recent activity, and, for people, the
//! diagnostics.

use std::fmt;
use std::sync::Arc;

use super::event::line;
use super::record::now;
use super::{
    AccessChange, AccessEvent, AccessRecord, Ended, JournalEntry, Metrics, PeerRefused, PeerRule, SessionCut,
    render,
};
use crate::peer::Peer;
use crate::sink::Sink;

/// Watches records as they are made. Called by the task that records, so it must neither wait nor take long.
pub trait Observer: Send + Sync {
    /// A request ended.
    fn request(&self, record: &AccessRecord);

    /// A peer was refused before there was a request of it.
    fn peer_refused(&self, _: &PeerRefused) {}

    /// A peer's access changed.
    fn access(&self, change: &AccessChange);
}

/// Takes each record once and passes it to everything that keeps or shows it. Files are written through queues, so a
/// slow disk delays no request.
#[derive(Default)]
pub struct AuditSink {
    metrics: Metrics,
    access_log: Option<Arc<Sink>>,
    journal: Option<Arc<Sink>>,
    observers: Vec<Arc<dyn Observer>>,
}

impl AuditSink {
    /// With the given consumers, next to the metrics and the diagnostics.
    pub fn new(
        access_log: Option<Arc<Sink>>,
        journal: Option<Arc<Sink>>,
        observers: impl IntoIterator<Item = Arc<dyn Observer>>,
    ) -> Self {
        let observers = observers.into_iter().collect();
        AuditSink { metrics: Metrics::default(), access_log, journal, observers }
    }

    /// What has been counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn request(&self, record: AccessRecord) {
        self.metrics.count(&record);
        self.observers.iter().for_each(|observer| observer.request(&record));
        self.write(&AccessEvent::Request(record));
    }

    /// `peer` was refused at `port` before there was a request. `reason` has details for people.
    pub fn peer_refused(&self, peer: &Peer, port: u16, rule: PeerRule, reason: Option<String>) {
        let (addr, peer) = (peer.addr, peer.into());
        let refused = PeerRefused { time: now(), peer, addr, port, rule, reason };
        self.observers.iter().for_each(|observer| observer.peer_refused(&refused));
        self.write(&AccessEvent::PeerRefused(refused));
    }

    /// The session of `peer` at `port` was cut.
    pub fn session_cut(&self, peer: &Peer, port: u16, ended: Ended) {
        self.cut(peer, port, ended, None, None);
    }

    /// The session of `peer` at `port` was cut, since `by` cancelled the request with this id.
    pub fn cancelled(&self, peer: &Peer, port: u16, id: &str, by: &str) {
        self.cut(peer, port, Ended::Cancelled, Some(id.to_owned()), Some(by.to_owned()));
    }

    fn cut(&self, peer: &Peer, port: u16, ended: Ended, id: Option<String>, by: Option<String>) {
        let (addr, peer) = (peer.addr, peer.into());
        self.write(&AccessEvent::SessionCut(SessionCut { time: now(), peer, addr, port, ended, id, by }));
    }

    pub(super) fn change(&self, change: AccessChange) {
        render::change(&change);
        self.observers.iter().for_each(|observer| observer.access(&change));
        if let Some(journal) = &self.journal {
            journal.push(line(&JournalEntry::Change(change)).as_bytes());
        }
    }

    fn write(&self, event: &AccessEvent) {
        render::event(event);
        if let Some(access_log) = &self.access_log {
            access_log.push(line(event).as_bytes());
        }
    }
}

impl fmt::Debug for AuditSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditSink").finish_non_exhaustive()
    }
}
