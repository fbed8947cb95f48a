//! The node's own journal of who gained and who lost access, and whose grants changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};

use super::Watcher;
use crate::peer::printable;
use crate::policy::{AccessMode, Rights};
use crate::rotated::Rotation;
use crate::sink::Sink;
use crate::tailnet::Member;

/// Compares what the tailnet says now with what it said before, and keeps the differences: in the
/// log, and as JSON lines in a file of mode 0600.
pub struct Journal {
    file: Arc<Sink>,
    watcher: Option<Arc<dyn Watcher>>,
    /// By port.
    known: BTreeMap<u16, BTreeMap<String, Standing>>,
}

/// Where a peer stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// MagicDNS name.
    pub node: String,
    /// User or tags.
    pub principal: String,
    /// The values granted under this node's capability.
    pub grants: Vec<Value>,
    /// Why some of them grant nothing.
    pub faults: Vec<String>,
}

impl Journal {
    /// What it is called in the state folder.
    pub const FILE: &str = "journal.jsonl";

    /// Some ten thousand lines, and who had access a year ago.
    pub const ROTATION: Rotation =
        Rotation { max_size: 4_000_000, max_age: Duration::from_secs(400 * 24 * 60 * 60) };

    /// Appends to `file`.
    pub fn new(file: Arc<Sink>) -> Self {
        Journal { file, watcher: None, known: BTreeMap::new() }
    }

    /// From now on `watcher`, if there is one, is told of each line.
    pub fn watched_by(mut self, watcher: Option<Arc<dyn Watcher>>) -> Self {
        self.watcher = watcher;
        self
    }

    /// Takes note of everybody at one of the node's ports, for which `members` says who may connect. The
    /// first time, it notes who has access to begin with.
    pub fn observe(&mut self, port: u16, access: AccessMode, members: &[Member]) {
        let now: BTreeMap<String, Standing> = members
            .iter()
            // Without an owner or tags the netmap has the peer only in part yet.
            .filter(|m| m.admitted().next().is_some() && (m.user.is_some() || !m.tags.is_empty()))
            .map(|m| (m.stable_id.clone(), standing(access, m)))
            .collect();
        match self.known.remove(&port) {
            None => now.iter().for_each(|(id, standing)| self.note(port, "present", id, standing)),
            Some(before) => self.compare(port, &before, &now),
        }
        self.known.insert(port, now);
    }

    fn compare(&mut self, port: u16, before: &BTreeMap<String, Standing>, now: &BTreeMap<String, Standing>) {
        for (id, old) in before.iter().filter(|(id, _)| !now.contains_key(*id)) {
            self.note(port, "lost", id, old);
        }
        for (id, new) in now {
            match before.get(id) {
                None => self.note(port, "gained", id, new),
                Some(old) if old != new => self.note(port, "changed", id, new),
                Some(_) => {}
            }
        }
    }

    fn note(&mut self, port: u16, access: &str, stable_id: &str, standing: &Standing) {
        let Standing { node, principal, grants, faults } = standing;
        let values = Value::from(grants.clone()).to_string();
        tracing::info!(
            target: "journal", access, port, node = &*printable(node), principal = &*printable(principal),
            stable_id = &*printable(stable_id), grants = %printable(&values),
        );
        for fault in faults {
            tracing::warn!(
                target: "journal", node = &*printable(node), principal = &*printable(principal),
                "a grant of the tailnet policy grants nothing: {}", printable(fault),
            );
        }
        let now = SystemTime::now();
        if let Some(watcher) = &self.watcher {
            watcher.access(now, access, port, standing);
        }
        let line = json!({
            "time": humantime::format_rfc3339_millis(now).to_string(),
            "access": access, "port": port, "stable_id": stable_id,
            "node": node, "principal": principal, "grants": grants, "faults": faults,
        });
        self.file.push(format!("{}\n", printable(&line.to_string())).as_bytes());
    }
}

fn standing(access: AccessMode, member: &Member) -> Standing {
    let grants = member.grants();
    Standing {
        node: member.node.clone(),
        principal: member.principal(),
        faults: Rights::merge(access, &grants).faults,
        grants,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::rotated::RotatedFile;
    use crate::sink::{Labels, SinkState, in_journal};
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

    fn journal(path: &Path) -> Journal {
        let report = Box::new(|state: &SinkState| panic!("{state}"));
        let labels = Labels { name: "journal", to: String::new(), notice: in_journal, report };
        Journal::new(Arc::new(Sink::start(labels, RotatedFile::new(path, Journal::ROTATION)).unwrap()))
    }

    #[test]
    fn each_change_is_noted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = journal(&path);
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
        assert!(journal.file.flush(Duration::from_secs(60)));
        let text = std::fs::read_to_string(&path).unwrap();
        let noted: Vec<(String, String)> = text
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap())
            .map(|v| (v["access"].as_str().unwrap().to_owned(), v["stable_id"].as_str().unwrap().to_owned()))
            .collect();
        let expected = [("present", "a"), ("changed", "a"), ("gained", "b"), ("lost", "a"), ("lost", "b")];
        assert_eq!(noted, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn a_name_moves_no_cursor_and_stays_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let name = "a\n\u{1b}\u{7f}\u{9b}";
        let mut journal = journal(&path);
        journal.observe(1, AccessMode::Network, &[member(name, true, vec![json!([name])])]);
        assert!(journal.file.flush(Duration::from_secs(60)));
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
        let note: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&note["stable_id"], &note["grants"]), (&json!(name), &json!([[name]])));
    }
}
