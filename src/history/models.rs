//! Usage by model. Models are named as in Ollama's own list, where the proxy counted usage.

use serde::Serialize;

use super::line::plain;
use super::rows::{Rows, most_first};
use super::tally::Tally;
use crate::audit::OTHER_MODEL;

/// How many models have rows of their own. All others share one.
const MODELS_MAX: usize = 1000;

/// A value for each model.
pub(super) type Models<V> = Rows<String, V, MODELS_MAX>;

/// A model and its counts.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Its name in Ollama's list. `other`: models that Ollama does not list, requests that name no certain model, and
    /// models beyond those that are distinguished.
    pub model: String,
    /// Its counts.
    #[serde(flatten)]
    pub tally: Tally,
}

impl<V: Default> Models<V> {
    /// The value of the model that a record names.
    pub(super) fn of_model(&mut self, model: &str) -> &mut V {
        if model == OTHER_MODEL { &mut self.others } else { self.of(&plain(model)) }
    }

    /// The models, the one with the most requests first.
    pub(super) fn used(&self, tally_of: impl Fn(&V) -> Tally) -> Vec<Used> {
        let known = self.iter().map(|(model, value)| Used { model: model.clone(), tally: tally_of(value) });
        let others = Used { model: OTHER_MODEL.to_owned(), tally: tally_of(&self.others) };
        let used = known.chain([others]).filter(|used| used.tally != Tally::default());
        most_first(used.collect(), |used| used.tally.requests)
    }
}
