//! What each identity has asked for, with a bound on how many are told apart.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::peer::Peer;

/// So many are told apart; all others are counted together.
pub(super) const MOST: usize = 100;

/// Whoever has asked for nothing for so long gives way to somebody new. A tailnet that makes a node for
/// each run of its CI so makes no more than so many series a day, and none is forgotten while it counts.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The identities' tallies.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<String, Entry>,
    /// Only ever grows: who gives way is added.
    other: Tally,
}

#[derive(Debug)]
struct Entry {
    /// Of a tagged device, whose identity is an id that nobody knows by heart.
    node: Option<String>,
    tally: Tally,
    last: Instant,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) tokens_in: u64,
    pub(super) tokens_out: u64,
}

impl Tally {
    fn add(&mut self, more: Tally) {
        self.requests += more.requests;
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
        // These are numbers that Ollama says.
        self.tokens_in = self.tokens_in.saturating_add(more.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(more.tokens_out);
    }
}

impl Identities {
    /// A request of `peer` has ended at `now`.
    pub(super) fn count(&self, peer: &Peer, tally: Tally, now: Instant) {
        self.table().tally_of(peer, now).add(tally);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn tally_of(&mut self, peer: &Peer, now: Instant) -> &mut Tally {
        let identity = peer.identity();
        if !self.known.contains_key(identity) {
            if self.known.len() >= MOST && !self.make_room(now) {
                return &mut self.other;
            }
            let node = peer.user.is_none().then(|| peer.node.clone());
            self.known.insert(identity.to_owned(), Entry { node, tally: Tally::default(), last: now });
        }
        match self.known.get_mut(identity) {
            Some(entry) => {
                entry.last = now;
                &mut entry.tally
            }
            None => &mut self.other,
        }
    }

    /// Whether somebody has given way.
    fn make_room(&mut self, now: Instant) -> bool {
        let oldest = self.known.iter().min_by_key(|(_, entry)| entry.last);
        let oldest = oldest.filter(|(_, entry)| now.duration_since(entry.last) >= KEPT);
        let Some(entry) = oldest.map(|(id, _)| id.clone()).and_then(|id| self.known.remove(&id)) else {
            return false;
        };
        self.other.add(entry.tally);
        true
    }
}

fn labels<'a>(identity: &'a str, node: &'a str) -> [(&'static str, &'a str); 2] {
    [("identity", identity), ("node", node)]
}

impl Collector for Identities {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let table = self.table();
        for (name, help, count) in [
            (
                "identity_requests",
                "Requests that have ended, by who asked",
                (|t| t.requests) as fn(&Tally) -> u64,
            ),
            ("identity_bytes_in", "As bytes_in, by who asked", |t| t.bytes_in),
            ("identity_bytes_out", "As bytes_out, by who asked", |t| t.bytes_out),
            ("identity_tokens_in", "As tokens_in, by who asked", |t| t.tokens_in),
            ("identity_tokens_out", "As tokens_out, by who asked", |t| t.tokens_out),
        ] {
            // A dot at the end, as the library puts it to all others.
            let mut family =
                encoder.encode_descriptor(name, &format!("{help}."), None, MetricType::Counter)?;
            let known = table.known.iter().map(|(identity, entry)| {
                (labels(identity, entry.node.as_deref().unwrap_or_default()), &entry.tally)
            });
            let other = (labels("other", ""), &table.other);
            for (labels, tally) in known.chain([other]) {
                ConstCounter::new(count(tally)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
