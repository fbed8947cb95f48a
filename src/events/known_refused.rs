//! The devices that were refused before, in this run and in the access log of earlier ones.

use std::collections::HashSet;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Events, Occurrence, PeerRefusedFirst};
use crate::audit::{AccessEvent, PeerRule};
use crate::history::each_access_event;
use crate::policy::Rule;
use crate::rotated;

/// Devices beyond this number are told again after a further refusal. It bounds the memory.
const DEVICES_MAX: usize = 10_000;

/// Whether this rule refuses a peer because of what it may do. A limit, a malformed request or a mistyped path is no such rule.
pub(super) fn is_about_access(rule: Rule) -> bool {
    match rule {
        Rule::EndpointOff
        | Rule::Management
        | Rule::Grant
        | Rule::Host
        | Rule::Model
        | Rule::KeepAlive
        | Rule::LoadOptions => true,
        Rule::Target
        | Rule::Allowlist
        | Rule::MetricsOnly
        | Rule::PageOnly
        | Rule::CrossSite
        | Rule::PageOpen
        | Rule::Method
        | Rule::WebSocket
        | Rule::PreflightOff
        | Rule::Framing
        | Rule::Concurrency
        | Rule::Rate
        | Rule::Requests
        | Rule::Tokens
        | Rule::QueueFull
        | Rule::QueueTime
        | Rule::BodySize
        | Rule::Stopping
        | Rule::HeadTime
        | Rule::BodyIdle
        | Rule::AnswerIdle
        | Rule::ConnectionIdle
        | Rule::UpstreamDown
        | Rule::UpstreamFailed
        | Rule::Https
        | Rule::Certificate
        | Rule::ClientLeft => false,
    }
}

/// As [`is_about_access`], for a peer that was refused before there was a request.
pub(super) fn is_about_peers_access(rule: PeerRule) -> bool {
    match rule {
        PeerRule::NoAccess => true,
        PeerRule::Connections | PeerRule::HeadTime | PeerRule::Malformed | PeerRule::Tls => false,
    }
}

/// The stable ids of refused devices. Shared with the thread that reads the access log.
#[derive(Default)]
pub(super) struct KnownRefused(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    devices: HashSet<String>,
    /// What is to be judged once the access log has been read. `None`: it has.
    undecided: Option<Vec<PeerRefusedFirst>>,
}

impl KnownRefused {
    /// Raises an event if the device was never refused before.
    pub(super) fn note(&self, events: &Events, refused: PeerRefusedFirst) {
        self.0.lock().note(events, refused);
    }

    /// Reads the access log at `path` on a thread of its own. Until it has, no event is raised.
    ///
    /// # Errors
    /// The thread can't be started.
    pub(super) fn read_back(&self, events: Events, path: PathBuf) -> io::Result<()> {
        self.0.lock().undecided = Some(Vec::new());
        let (shared, began) = (Arc::clone(&self.0), Timestamp::now());
        let thread = std::thread::Builder::new().name("read-refused".to_owned());
        let started = thread.spawn(move || {
            let devices = refused_in(&path, began);
            let mut known = shared.lock();
            known.devices.extend(devices.into_iter().take(DEVICES_MAX));
            for refused in known.undecided.take().into_iter().flatten() {
                known.note(&events, refused);
            }
        });
        if started.is_err() {
            self.0.lock().undecided = None;
        }
        started.map(drop)
    }
}

impl Known {
    fn note(&mut self, events: &Events, refused: PeerRefusedFirst) {
        if self.devices.contains(&refused.peer.stable_id) {
            return;
        }
        if let Some(undecided) = &mut self.undecided {
            if undecided.len() < DEVICES_MAX {
                undecided.push(refused);
            }
            return;
        }
        if self.devices.len() >= DEVICES_MAX {
            self.devices.clear();
        }
        self.devices.insert(refused.peer.stable_id.clone());
        events.raise(Occurrence::PeerRefused(refused));
    }
}

/// The devices that the access log has refusals of, from before `began`.
fn refused_in(path: &Path, began: Timestamp) -> HashSet<String> {
    let mut devices = HashSet::new();
    let read = rotated::read(path).and_then(|files| {
        files.into_iter().try_for_each(|(_, file)| {
            each_access_event(BufReader::new(file), |event| {
                let refused = match event {
                    AccessEvent::Request(record) => {
                        let rule = record.rule.as_deref().and_then(Rule::named);
                        let is_refused = rule.is_some_and(is_about_access);
                        (is_refused && record.time < began).then_some(record.peer)
                    }
                    AccessEvent::PeerRefused(refused) => {
                        let is_refused = is_about_peers_access(refused.rule);
                        (is_refused && refused.time < began).then_some(refused.peer)
                    }
                    AccessEvent::SessionCut(_) | AccessEvent::LinesLost(_) => None,
                };
                devices.extend(refused.map(|peer| peer.stable_id));
            })
        })
    });
    match read {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot read the access log for [events]: each refused device counts as new");
        }
        Err(_) | Ok(()) => {}
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_names_the_rules_about_access() {
        let page = include_str!("../../docs/events.md");
        let row = page.lines().find(|line| line.starts_with("| `peer-refused` |")).unwrap();
        let (_, listed) = row.split_once("by one of the rules ").unwrap();
        let (listed, _) = listed.split_once(" ([list of rules]").unwrap();
        let documented: HashSet<_> = listed.split('`').skip(1).step_by(2).collect();
        let rules = Rule::ALL.iter().filter(|rule| is_about_access(**rule)).map(|rule| rule.name());
        let before =
            PeerRule::ALL.into_iter().filter(|rule| is_about_peers_access(*rule)).map(PeerRule::name);
        assert_eq!(documented, rules.chain(before).collect());
    }
}
