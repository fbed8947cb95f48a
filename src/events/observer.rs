//! Raises events from what the proxy records: changes of access, first refusals, and quotas.

use std::collections::HashSet;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::known_refused::{KnownRefused, is_about_access, is_about_peers_access};
use super::{AccessOf, EventKind, Events, Occurrence, PeerRefusedFirst, QuotaReached};
use crate::audit::{AccessChange, AccessRecord, ChangeKind, Observer, PeerRefused};
use crate::config::Config;
use crate::policy::Rule;

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
    told: HashSet<(Rule, String)>,
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

    fn quota(&self, rule: Rule, record: &AccessRecord) {
        if !self.events.wants(EventKind::QuotaReached) {
            return;
        }
        let identity = record.peer.identity().to_owned();
        if self.quotas.lock().note(record.time, rule, &identity) {
            let (peer, port) = (record.peer.clone(), record.port);
            let reached = QuotaReached { identity, peer, port, rule: rule.name().to_owned() };
            self.events.raise(Occurrence::QuotaReached(reached));
        }
    }
}

impl QuotasTold {
    /// Whether this is the first time on the day of `now`.
    fn note(&mut self, now: Timestamp, rule: Rule, identity: &str) -> bool {
        let day = now.as_second().div_euclid(DAY);
        if day != self.day {
            *self = QuotasTold { day, told: HashSet::new() };
        }
        self.told.insert((rule, identity.to_owned()))
    }
}

impl Observer for EventObserver {
    fn request(&self, record: &AccessRecord) {
        let Some(rule) = record.rule.as_deref().and_then(Rule::named) else { return };
        if is_about_access(rule) {
            self.refused(PeerRefusedFirst {
                peer: record.peer.clone(),
                addr: record.addr,
                port: record.port,
                rule: rule.name().to_owned(),
                method: Some(record.method.clone()),
                endpoint: record.endpoint.as_deref().map(str::to_owned),
                path: record.path.clone(),
                model: record.model.clone(),
            });
        } else if matches!(rule, Rule::Requests | Rule::Tokens) {
            self.quota(rule, record);
        }
    }

    fn peer_refused(&self, refused: &PeerRefused) {
        if is_about_peers_access(refused.rule) {
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

    /// A record with this rule, of this device.
    fn record(rule: Option<Rule>, stable_id: &str) -> AccessRecord {
        let rule = rule.map_or(String::new(), |rule| format!(r#""rule":"{}","#, rule.name()));
        let json = format!(
            r#"{{"time":"2026-11-24T16:44:13.022Z","id":"1","node":"a.ts.net","stable_id":"{stable_id}",
            "principal":"anna@example.com","addr":"100.64.0.2:5","port":11434,"method":"POST",{rule}
            "bytes_in":0,"bytes_out":0,"ms":1,"ended":"refused"}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[tokio::test]
    async fn refusals_become_events_by_their_rule() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let log = dir.path().join("access.jsonl");
        let text = format!("events.command = ['/bin/sh']\naccess_log.file = {log:?}\n");
        std::fs::write(&file, text).unwrap();
        let config = crate::config::load(Some(&file), &[], &Default::default()).unwrap();
        let config = tokio::sync::watch::Sender::new(std::sync::Arc::new(config));
        let (events, mut incoming) = Events::new(config.subscribe());
        let current = config.borrow().clone();
        let observer = EventObserver::new(events, &current);
        let rules = [Rule::Rate, Rule::Grant, Rule::Model, Rule::Tokens, Rule::Tokens];
        observer.request(&record(None, "n1"));
        for rule in rules {
            observer.request(&record(Some(rule), "n1"));
        }
        observer.request(&record(Some(Rule::Requests), "n2"));
        observer.request(&record(Some(Rule::KeepAlive), "n2"));
        let mut told = Vec::new();
        for _ in 0..4 {
            let occurrence = incoming.events.recv().await.unwrap().occurrence;
            told.push((occurrence.kind(), occurrence.subject()));
        }
        told.sort();
        let expected = [
            (EventKind::PeerRefused, "refused n1"),
            (EventKind::PeerRefused, "refused n2"),
            (EventKind::QuotaReached, "quota requests anna@example.com"),
            (EventKind::QuotaReached, "quota tokens anna@example.com"),
        ];
        assert_eq!(told, expected.map(|(kind, subject)| (kind, subject.to_owned())));
        assert!(incoming.events.try_recv().is_err());
    }

    #[test]
    fn used_up_quota_is_told_once_a_day_for_each_identity() {
        let mut told = QuotasTold::default();
        let mut note = |now: &str, identity| told.note(now.parse().unwrap(), Rule::Tokens, identity);
        assert!(note("2026-11-24T00:00:00Z", "a") && note("2026-11-24T12:00:00Z", "b"));
        assert!(!note("2026-11-24T23:59:59Z", "a"));
        assert!(note("2026-11-25T00:00:00Z", "a") && !note("2026-11-25T00:00:01Z", "a"));
    }
}
