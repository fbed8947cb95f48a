//! Counters by model, for a bounded number of models. A name is one of Ollama's list. They are not by identity too, which
//! would multiply the series.

use std::fmt;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::OTHER_MODEL;
use super::tallies::{Tallies, Tally, TallyCounter, encode};

/// How many models have counters of their own. All others are counted together.
pub(super) const MODELS_MAX: usize = 50;

/// The models' tallies; `None` until a request counts for a model, so that there are no series while usage is off.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<Option<Tallies<(), MODELS_MAX>>>);

const COUNTERS: [TallyCounter; 3] = [
    ("model_requests", "Ended requests that name a model and were not refused, by model", |t| t.requests),
    ("model_tokens_in", "As tokens_in, by model", |t| t.tokens_in),
    ("model_tokens_out", "As tokens_out, by model", |t| t.tokens_out),
];

impl Models {
    /// A request for `model` ended at `now`.
    pub(super) fn count(&self, model: &str, tally: Tally, now: Instant) {
        let mut tallies = self.0.lock();
        let tallies = tallies.get_or_insert_default();
        let tally_of_model =
            if model == OTHER_MODEL { &mut tallies.other } else { tallies.of(model, now, || ()) };
        tally_of_model.add(tally);
    }
}

impl Collector for Models {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tallies = self.0.lock();
        let Some(tallies) = &*tallies else { return Ok(()) };
        let known = tallies.iter().map(|(model, (), tally)| ([("model", model)], tally));
        encode(&mut encoder, &COUNTERS, known.chain([([("model", OTHER_MODEL)], &tallies.other)]))
    }
}
