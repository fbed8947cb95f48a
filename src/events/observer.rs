//! Raises events from what the proxy records: changes of access, first refusals, and quotas.

use std::collections::HashSet;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::known_refused::{KnownRefused, is_about_access};
use super::{AccessOf, EventKind, Events, Occurrence, PeerRefusedFirst, QuotaReached};
use crate::audit::{AccessChange, AccessRecord, ChangeKind, Observer, PeerRefused};
use crate::config::Config;

/// The rules by which a used-up quota refuses requests.
const QUOTAS: [&str; 2] = ["tokens", "requests"];

/// In seconds.
const DAY: i64 = 24 * 60 * 60;

/// Watches the records for events.
pub struct EventObserver {
    events: Events,
    refused: KnownRefused,
    quotas: Mutex<QuotasTold>,
}

/// The quotas that were told on one day, in UTC, as quotas count. A client retries, so a used-up quota refuses many requests.
#[derive(Default)]
struct QuotasTold {
    /// In days since 1970.
    day: i64,
    told: HashSet<(&'static str, String)>,
}

impl EventObserver {
    /// `config` says where the access log of earlier runs is.
    pub fn new(events: Events, config: &Config) -> Self {
        let refused = KnownRefused::default();
        if events.wants(EventKind::PeerRefused)
            && let Some(log) = &config.access_log
            && let Err(error) = refused.read_back(events.clone(), log.file.clone())
        {
            tracing::warn!(%error, "cannot read the access log for [events]: each refused device counts as new");
        }
        EventObserver { events, refused, quotas: Mutex::default() }
    }

    fn refused(&self, refused: PeerRefusedFirst) {
        if self.events.wants(EventKind::PeerRefused) {
            self.refused.note(&self.events, refused);
        }
    }

    fn quota(&self, rule: &'static str, record: &AccessRecord) {
        if !self.events.wants(EventKind::QuotaReached) {
            return;
        }
        let identity = record.peer.identity().to_owned();
        if self.quotas.lock().note(record.time, rule, &identity) {
            let (peer, port) = (record.peer.clone(), record.port);
            let reached = QuotaReached { identity, peer, port, rule: rule.to_owned() };
            self.events.raise(Occurrence::QuotaReached(reached));
        }
    }
}

impl QuotasTold {
    /// Whether this is the first time on the day of `now`.
    fn note(&mut self, now: Timestamp, rule: &'static str, identity: &str) -> bool {
        let day = now.as_second().div_euclid(DAY);
        if day != self.day {
            *self = QuotasTold { day, told: HashSet::new() };
        }
        self.told.insert((rule, identity.to_owned()))
    }
}

impl Observer for EventObserver {
    fn request(&self, record: &AccessRecord) {
        let Some(rule) = record.rule.as_deref() else { return };
        if is_about_access(rule) {
            self.refused(PeerRefusedFirst {
                peer: record.peer.clone(),
                addr: record.addr,
                port: record.port,
                rule: rule.to_owned(),
                method: Some(record.method.clone()),
                endpoint: record.endpoint.as_deref().map(str::to_owned),
                path: record.path.clone(),
                model: record.model.clone(),
            });
        } else if let Some(quota) = QUOTAS.into_iter().find(|quota| *quota == rule) {
            self.quota(quota, record);
        }
    }

    fn peer_refused(&self, refused: &PeerRefused) {
        if is_about_access(refused.rule.name()) {
            self.refused(PeerRefusedFirst {
                peer: refused.peer.clone(),
                addr: refused.addr,
                port: refused.port,
                rule: refused.rule.name().to_owned(),
                method: None,
                endpoint: None,
                path: None,
                model: None,
            });
        }
    }

    fn access(&self, change: &AccessChange) {
        let of = || AccessOf { peer: change.peer.clone(), port: change.port };
        match change.access {
            ChangeKind::Gained => self.events.raise(Occurrence::AccessGained(of())),
            ChangeKind::Lost => self.events.raise(Occurrence::AccessLost(of())),
            ChangeKind::Present | ChangeKind::Changed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_up_quota_is_told_once_a_day_for_each_identity() {
        let mut told = QuotasTold::default();
        let mut note = |now: &str, identity| told.note(now.parse().unwrap(), "tokens", identity);
        assert!(note("2026-11-24T00:00:00Z", "a") && note("2026-11-24T12:00:00Z", "b"));
        assert!(!note("2026-11-24T23:59:59Z", "a"));
        assert!(note("2026-11-25T00:00:00Z", "a") && !note("2026-11-25T00:00:01Z", "a"));
    }
}
