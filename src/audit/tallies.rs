//! Counters by name, for a bounded number of names.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// A name without a request for this long can be evicted for a new one. So a tailnet that creates a node for each CI run
/// adds at most as many series a day as there are places.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Tallies of at most `MAX` names, and one of all others. `D` is a detail of a name that its series show.
#[derive(Debug)]
pub(super) struct Tallies<D, const MAX: usize> {
    known: HashMap<String, Entry<D>>,
    /// All other names. It never shrinks: an evicted name's counts are added to it.
    pub(super) other: Tally,
}

#[derive(Debug)]
struct Entry<D> {
    detail: D,
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
    pub(super) fn add(&mut self, more: Tally) {
        self.requests += more.requests;
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
        // Ollama reports these, so they can be any number.
        self.tokens_in = self.tokens_in.saturating_add(more.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(more.tokens_out);
    }
}

impl<D, const MAX: usize> Default for Tallies<D, MAX> {
    fn default() -> Self {
        Tallies { known: HashMap::new(), other: Tally::default() }
    }
}

impl<D, const MAX: usize> Tallies<D, MAX> {
    /// The tally of `name`, which had a request at `now`.
    pub(super) fn of(&mut self, name: &str, now: Instant, detail: impl FnOnce() -> D) -> &mut Tally {
        if !self.known.contains_key(name) {
            if self.known.len() >= MAX && !self.evict(now) {
                return &mut self.other;
            }
            let entry = Entry { detail: detail(), tally: Tally::default(), last: now };
            self.known.insert(name.to_owned(), entry);
        }
        match self.known.get_mut(name) {
            Some(entry) => {
                entry.last = now;
                &mut entry.tally
            }
            None => &mut self.other,
        }
    }

    /// Evicts the name that has been idle the longest, if that is at least [`KEPT`]. Returns whether it did.
    fn evict(&mut self, now: Instant) -> bool {
        let oldest = self.known.iter().min_by_key(|(_, entry)| entry.last);
        let oldest = oldest.filter(|(_, entry)| now.duration_since(entry.last) >= KEPT);
        let Some(entry) = oldest.map(|(id, _)| id.clone()).and_then(|id| self.known.remove(&id)) else {
            return false;
        };
        self.other.add(entry.tally);
        true
    }

    /// The known names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &D, &Tally)> + Clone {
        self.known.iter().map(|(name, entry)| (name.as_str(), &entry.detail, &entry.tally))
    }
}

/// A counter of a [`Tally`]: its name, its help text, and its value.
pub(super) type TallyCounter = (&'static str, &'static str, fn(&Tally) -> u64);

/// Writes each of `counters` with a series for each of `rows`.
pub(super) fn encode<'a, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    counters: &[TallyCounter],
    rows: impl Iterator<Item = (L, &'a Tally)> + Clone,
) -> fmt::Result {
    for (name, help, count) in counters {
        // The library ends every other help text with a dot.
        let mut family = encoder.encode_descriptor(name, &format!("{help}."), None, MetricType::Counter)?;
        for (labels, tally) in rows.clone() {
            ConstCounter::new(count(tally)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
