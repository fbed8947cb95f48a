//! Counters by identity, for a bounded number of identities.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::PeerName;

/// How many identities have counters of their own. All others are counted together.
pub(super) const MOST: usize = 100;

/// An identity that sent no request for this long can be evicted for a new one. So a tailnet that creates a node for
/// each CI run adds at most [`MOST`] series a day.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The identities' tallies.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<String, Entry>,
    /// All other identities. It never shrinks: an evicted identity's counts are added to it.
    other: Tally,
}

#[derive(Debug)]
struct Entry {
    /// The name of a tagged device, whose identity is only a stable id.
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
        // Ollama reports these, so they can be any number.
        self.tokens_in = self.tokens_in.saturating_add(more.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(more.tokens_out);
    }
}

impl Identities {
    /// A request of `peer` ended at `now`.
    pub(super) fn count(&self, peer: &PeerName, tally: Tally, now: Instant) {
        self.0.lock().tally_of(peer, now).add(tally);
    }
}

impl Table {
    fn tally_of(&mut self, peer: &PeerName, now: Instant) -> &mut Tally {
        let identity = peer.identity();
        if !self.known.contains_key(identity) {
            if self.known.len() >= MOST && !self.evict(now) {
                return &mut self.other;
            }
            let node = peer.is_tagged().then(|| peer.node.clone());
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

    /// Evicts the identity that has been idle the longest, if that is at least [`KEPT`]. Returns whether it did.
    fn evict(&mut self, now: Instant) -> bool {
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
        let table = self.0.lock();
        for (name, help, count) in [
            ("identity_requests", "Ended requests, by identity", (|t| t.requests) as fn(&Tally) -> u64),
            ("identity_bytes_in", "As bytes_in, by identity", |t| t.bytes_in),
            ("identity_bytes_out", "As bytes_out, by identity", |t| t.bytes_out),
            ("identity_tokens_in", "As tokens_in, by identity", |t| t.tokens_in),
            ("identity_tokens_out", "As tokens_out, by identity", |t| t.tokens_out),
        ] {
            // The library ends every other help text with a dot.
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
