//! Compares who has access now with who had it before. The differences become the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::record::now;
use super::{AccessChange, AuditSink, ChangeKind, PeerName};
use crate::policy::{AccessMode, Rights};
use crate::rotated::Rotation;
use crate::tailnet::Member;

/// Remembers who has access to each port, and records each change.
pub struct Journal {
    audit: Arc<AuditSink>,
    /// By port, then by stable id.
    known: BTreeMap<u16, BTreeMap<String, GrantedAccess>>,
}

/// What a peer may do at a port, as the policy file says it.
#[derive(Debug, Clone, PartialEq)]
struct GrantedAccess {
    peer: PeerName,
    grants: Vec<Value>,
    faults: Vec<String>,
}

impl Journal {
    /// The file's name in the state folder.
    pub const FILE: &str = "journal.jsonl";

    /// Room for about ten thousand lines a file, and an answer to who had access a year ago.
    pub const ROTATION: Rotation =
        Rotation { max_size: 4_000_000, max_age: Duration::from_secs(400 * 24 * 60 * 60) };

    /// Records changes in `audit`.
    pub fn new(audit: Arc<AuditSink>) -> Self {
        Journal { audit, known: BTreeMap::new() }
    }

    /// Compares `members`, the peers that may connect to `port`, with those of the last call. The first call for a
    /// port records each of them as present.
    pub fn observe(&mut self, port: u16, access: AccessMode, members: &[Member]) {
        let now: BTreeMap<String, GrantedAccess> = members
            .iter()
            // A peer without an owner or tags is not complete in the netmap yet.
            .filter(|m| m.admitted().next().is_some() && (m.user.is_some() || !m.tags.is_empty()))
            .map(|m| (m.stable_id.clone(), granted(access, m)))
            .collect();
        match self.known.remove(&port) {
            None => now.values().for_each(|granted| self.note(port, ChangeKind::Present, granted)),
            Some(before) => self.compare(port, &before, &now),
        }
        self.known.insert(port, now);
    }

    fn compare(
        &self,
        port: u16,
        before: &BTreeMap<String, GrantedAccess>,
        now: &BTreeMap<String, GrantedAccess>,
    ) {
        for (_, old) in before.iter().filter(|(id, _)| !now.contains_key(*id)) {
            self.note(port, ChangeKind::Lost, old);
        }
        for (id, new) in now {
            match before.get(id) {
                None => self.note(port, ChangeKind::Gained, new),
                Some(old) if old != new => self.note(port, ChangeKind::Changed, new),
                Some(_) => {}
            }
        }
    }

    fn note(&self, port: u16, access: ChangeKind, granted: &GrantedAccess) {
        let GrantedAccess { peer, grants, faults } = granted.clone();
        self.audit.change(AccessChange { time: now(), access, port, peer, grants, faults });
    }
}

fn granted(access: AccessMode, member: &Member) -> GrantedAccess {
    let grants = member.grants();
    GrantedAccess {
        peer: PeerName {
            node: member.node.clone(),
            stable_id: member.stable_id.clone(),
            principal: member.principal(),
        },
        faults: Rights::merge(access, &grants).faults,
        grants,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::audit::{JournalEntry, lost_in_journal};
    use crate::rotated::RotatedFile;
    use crate::sink::{Sink, SinkOptions, SinkState};
    use crate::tailnet::Address;

    fn member(id: &str, admitted: bool, grants: Vec<Value>) -> Member {
        let ip = "100.64.0.9".parse().unwrap();
        Member {
            node: format!("{id}.tailnet.test"),
            stable_id: id.to_owned(),
            user: Some("anna@example.com".to_owned()),
            addresses: vec![Address { ip, at: None, admitted, grants }],
            ..Member::default()
        }
    }

    fn sink(path: &Path) -> Arc<Sink> {
        let report = Box::new(|state: &SinkState| panic!("{state}"));
        let options = SinkOptions { name: "journal", to: String::new(), notice: lost_in_journal, report };
        Arc::new(Sink::start(options, RotatedFile::new(path, Journal::ROTATION)).unwrap())
    }

    fn journal(sink: &Arc<Sink>) -> Journal {
        Journal::new(Arc::new(AuditSink::new(None, Some(Arc::clone(sink)), None)))
    }

    fn read(path: &Path) -> Vec<AccessChange> {
        let text = std::fs::read_to_string(path).unwrap();
        let entries = text.lines().map(|line| serde_json::from_str(line).unwrap());
        entries
            .map(|entry| if let JournalEntry::Change(change) = entry { change } else { panic!("{text}") })
            .collect()
    }

    #[test]
    fn each_change_is_recorded_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let sink = sink(&path);
        let mut journal = journal(&sink);
        let narrow = || vec![json!({"endpoints": ["api_tags"]})];
        for members in [
            vec![member("a", true, vec![]), member("b", false, vec![])],
            vec![member("a", true, vec![]), member("b", false, vec![])],
            vec![member("a", true, narrow()), member("b", true, vec![])],
            vec![member("a", false, narrow())],
        ] {
            journal.observe(11434, AccessMode::Network, &members);
            journal.observe(9090, AccessMode::Network, &[]);
        }
        assert!(sink.flush(Duration::from_secs(60)));
        let noted: Vec<_> = read(&path).into_iter().map(|c| (c.access.name(), c.peer.stable_id)).collect();
        let expected = [("present", "a"), ("changed", "a"), ("gained", "b"), ("lost", "a"), ("lost", "b")];
        assert_eq!(noted, expected.map(|(access, id)| (access, id.to_owned())));
    }

    #[test]
    fn hostile_name_is_escaped_and_reads_back_equal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let name = "a\n\u{1b}\u{7f}\u{9b}";
        let sink = sink(&path);
        let mut journal = journal(&sink);
        journal.observe(1, AccessMode::Network, &[member(name, true, vec![json!([name])])]);
        assert!(sink.flush(Duration::from_secs(60)));
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
        let [change] = &read(&path)[..] else { panic!("{line}") };
        assert_eq!((&*change.peer.stable_id, &change.grants[..]), (name, &[json!([name])][..]));
    }
}
