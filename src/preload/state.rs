//! What became of each model of `models.preload`.

use serde::{Deserialize, Serialize};

use crate::ollama::LoadedModel;
use crate::policy::Model;

/// One model of `models.preload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreloadedModel {
    /// Its canonical name.
    pub model: String,
    /// How far it is.
    pub state: PreloadState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a model of `models.preload` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreloadState {
    /// For Ollama to answer, for a free running slot, or for the models before it.
    Waiting,
    /// Ollama loads it.
    Loading,
    /// Ollama has loaded it.
    Loaded,
    /// Ollama has loaded it, and unloaded it since.
    Unloaded,
    /// Ollama has not loaded it.
    Failed,
}

impl PreloadState {
    /// The state in a word.
    pub fn word(self) -> &'static str {
        match self {
            PreloadState::Waiting => "waiting",
            PreloadState::Loading => "loading",
            PreloadState::Loaded => "loaded",
            PreloadState::Unloaded => "unloaded",
            PreloadState::Failed => "failed",
        }
    }
}

impl PreloadedModel {
    pub(super) fn new(model: &Model, state: PreloadState, reason: Option<&String>) -> PreloadedModel {
        PreloadedModel { model: model.to_string(), state, reason: reason.cloned() }
    }

    /// The same model, by the models that are in memory now.
    #[must_use]
    pub(crate) fn compared_with(mut self, in_memory: &[LoadedModel]) -> PreloadedModel {
        let is_same = |loaded: &LoadedModel| {
            Model::parse(&loaded.name).is_ok_and(|name| name.to_string() == self.model)
        };
        if self.state == PreloadState::Loaded && !in_memory.iter().any(is_same) {
            self.state = PreloadState::Unloaded;
        }
        self
    }
}
