//! The latest changes of access.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::super::Who;
use super::super::line::Device;
use crate::audit::{AccessChange, ChangeKind};
use crate::peer::Peer;

/// How many changes are kept: the latest.
const CHANGES_MAX: usize = 200;

/// Changes of a device's access within this time count as one.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Access gained, changed or lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When the proxy learned of it.
    pub time: Timestamp,
    /// What changed.
    pub access: ChangeKind,
    /// The ports of our node, each once.
    pub ports: Vec<u16>,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
}

impl Change {
    /// `None` for [`ChangeKind::Present`], which is no change: the proxy has started.
    pub(super) fn new(change: &AccessChange) -> Option<Change> {
        let AccessChange { time, access, port, ref peer, .. } = *change;
        let Device { node, principal } = peer.into();
        (access != ChangeKind::Present).then(|| Change { time, access, ports: vec![port], node, principal })
    }

    /// Takes in `later` if it is the same change at other ports: one edit of the policy changes several.
    fn merge(&mut self, later: &Change) -> bool {
        let apart = later.time.duration_since(self.time).unsigned_abs();
        let same = (&self.node, &self.principal, self.access)
            == (&later.node, &later.principal, later.access)
            && apart < AT_ONCE
            && !later.ports.iter().any(|port| self.ports.contains(port));
        if same {
            self.ports.extend(&later.ports);
        }
        same
    }

    fn who(&self) -> Who {
        let Change { node, principal, .. } = self;
        Who::from(&Device { node: node.clone(), principal: principal.clone() })
    }
}

/// A bounded list, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Changes {
    kept: VecDeque<Change>,
    /// How many older ones were dropped.
    dropped: u64,
}

impl Changes {
    pub(super) fn add(&mut self, change: Change) {
        // The journal has all devices of one port before those of the next.
        if self.kept.iter_mut().rev().any(|before| before.merge(&change)) {
            return;
        }
        if self.kept.len() >= CHANGES_MAX {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(change);
    }

    /// Puts what happened `before` ahead of what it has.
    pub(super) fn prepend(&mut self, before: Changes) {
        let after = std::mem::replace(self, before);
        self.dropped += after.dropped;
        after.kept.into_iter().for_each(|change| self.add(change));
    }

    pub(super) fn latest(&self, whose: Option<&Peer>, most: usize) -> (Vec<&Change>, u64) {
        let whose = whose.map(|peer| Who::from(&Device::from(peer)));
        let own = |change: &&Change| whose.as_ref().is_none_or(|own| *own == change.who());
        let all: Vec<_> = self.kept.iter().rev().filter(own).collect();
        let dropped = if whose.is_none() { self.dropped } else { 0 };
        let more = all.len().saturating_sub(most) as u64 + dropped;
        (all.into_iter().take(most).collect(), more)
    }
}
