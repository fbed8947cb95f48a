//! The latest refused requests.

use std::collections::VecDeque;
use std::mem::take;

use jiff::Timestamp;
use serde::Serialize;

use super::super::line::{Device, plain};
use crate::audit::AccessRecord;
use crate::peer::Peer;

/// How many refusals are kept: the latest.
const DENIED_MAX: usize = 500;

/// How many are kept of one identity, so that it can't push out those of others.
pub(super) const DENIED_OF_ONE: usize = 50;

/// How many of one identity are shown where those of all are.
pub(super) const SHOWN_OF_ONE: usize = 5;

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// When.
    pub time: Timestamp,
    /// The rule.
    pub rule: String,
    /// The device's name in the tailnet.
    pub node: String,
    /// Its user, or its tags.
    pub principal: String,
    /// The port of our node.
    pub port: u16,
    /// The method.
    pub method: String,
    /// The endpoint by its name in the config, or else the path, which may say anything.
    pub asked: String,
    /// The model that it was refused for, if any.
    pub model: Option<String>,
    /// How many earlier ones of the same identity are left out.
    pub more: u64,
    /// See [`Peer::identity`].
    #[serde(skip)]
    identity: String,
}

impl Denied {
    pub(super) fn new(record: &AccessRecord, device: Device, rule: &str) -> Denied {
        let asked = record.endpoint.as_deref().or(record.path.as_deref());
        Denied {
            time: record.time,
            rule: plain(rule),
            node: device.node,
            principal: device.principal,
            port: record.port,
            method: plain(&record.method),
            asked: asked.map(plain).unwrap_or_default(),
            model: record.model.as_deref().map(plain),
            more: 0,
            identity: record.peer.identity().to_owned(),
        }
    }

    fn is_of_same(&self, other: &Denied) -> bool {
        (&self.identity, &self.principal) == (&other.identity, &other.principal)
    }

    fn is_of(&self, peer: &Peer) -> bool {
        self.identity == peer.identity() && self.principal == plain(&peer.principal())
    }
}

/// A bounded list, the oldest first. What is dropped is counted in `more` of the oldest that is kept of its identity.
#[derive(Debug, Default)]
pub(super) struct DeniedList {
    kept: VecDeque<Denied>,
    /// Dropped refusals of identities that have none in the list.
    dropped: u64,
}

impl DeniedList {
    pub(super) fn add(&mut self, mut denied: Denied) {
        let own = |other: &Denied| other.is_of_same(&denied);
        let dropped = if self.kept.iter().filter(|other| own(other)).count() >= DENIED_OF_ONE {
            self.kept.iter().position(own)
        } else {
            (self.kept.len() >= DENIED_MAX).then_some(0)
        };
        let dropped = dropped.and_then(|at| self.kept.remove(at));
        if let Some(oldest) = self.kept.iter_mut().find(|other| other.is_of_same(&denied)) {
            oldest.more += take(&mut denied.more);
        }
        self.kept.push_back(denied);
        if let Some(dropped) = dropped {
            let oldest = self.kept.iter_mut().find(|other| other.is_of_same(&dropped));
            *oldest.map_or(&mut self.dropped, |oldest| &mut oldest.more) += dropped.more + 1;
        }
    }

    /// Puts what happened `before` ahead of what it has.
    pub(super) fn prepend(&mut self, before: DeniedList) {
        let after = std::mem::replace(self, before);
        self.dropped += after.dropped;
        after.kept.into_iter().for_each(|denied| self.add(denied));
    }

    pub(super) fn latest(&self, whose: Option<&Peer>, most: usize) -> (Vec<Denied>, u64) {
        let (of_one, mut more) = if whose.is_none() { (SHOWN_OF_ONE, self.dropped) } else { (most, 0) };
        let mut shown = Vec::<Denied>::new();
        for denied in self.kept.iter().rev().filter(|denied| whose.is_none_or(|peer| denied.is_of(peer))) {
            if shown.len() < most && shown.iter().filter(|one| one.is_of_same(denied)).count() < of_one {
                shown.push(denied.clone());
            } else {
                let last = shown.iter_mut().rfind(|one| one.is_of_same(denied));
                *last.map_or(&mut more, |last| &mut last.more) += denied.more + 1;
            }
        }
        (shown, more)
    }
}
