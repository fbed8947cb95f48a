//! Counters by identity, for a bounded number of identities.

use std::fmt;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::PeerName;
use super::tallies::{Tallies, Tally, TallyCounter, encode};

/// How many identities have counters of their own. All others are counted together.
pub(super) const IDENTITIES_MAX: usize = 100;

/// The identities' tallies, each with the name of a tagged device, whose identity is only a stable id.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<Tallies<Option<String>, IDENTITIES_MAX>>);

const COUNTERS: [TallyCounter; 5] = [
    ("identity_requests", "Ended requests, by identity", |t| t.requests),
    ("identity_bytes_in", "As bytes_in, by identity", |t| t.bytes_in),
    ("identity_bytes_out", "As bytes_out, by identity", |t| t.bytes_out),
    ("identity_tokens_in", "As tokens_in, by identity", |t| t.tokens_in),
    ("identity_tokens_out", "As tokens_out, by identity", |t| t.tokens_out),
];

impl Identities {
    /// A request of `peer` ended at `now`.
    pub(super) fn count(&self, peer: &PeerName, tally: Tally, now: Instant) {
        let node = || peer.is_tagged().then(|| peer.node.clone());
        self.0.lock().of(peer.identity(), now, node).add(tally);
    }
}

fn labels<'a>(identity: &'a str, node: &'a str) -> [(&'static str, &'a str); 2] {
    [("identity", identity), ("node", node)]
}

impl Collector for Identities {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tallies = self.0.lock();
        let known = tallies
            .iter()
            .map(|(identity, node, tally)| (labels(identity, node.as_deref().unwrap_or_default()), tally));
        encode(&mut encoder, &COUNTERS, known.chain([(labels("other", ""), &tallies.other)]))
    }
}
