//! How Ollama is now: the part of the proxy's status that Ollama itself answers.

use serde::{Deserialize, Serialize};

use super::client::{LoadedModel, OllamaClient};
use super::error::OllamaError;
use super::upstream::Upstream;

/// Ollama as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OllamaStatus {
    /// Its address.
    pub url: String,
    /// Its version; absent: it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The models in memory.
    #[serde(default)]
    pub models: Vec<LoadedModel>,
    /// Why the version or the models are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl OllamaStatus {
    /// Asks Ollama for its version and its loaded models, for 2 s at most.
    pub(crate) async fn ask(upstream: &Upstream) -> OllamaStatus {
        let mut status = OllamaStatus { url: upstream.to_string(), ..OllamaStatus::default() };
        status.fault = status.fill(&OllamaClient::new(upstream)).await.err().map(|error| error.to_string());
        status
    }

    async fn fill(&mut self, client: &OllamaClient<'_>) -> Result<(), OllamaError> {
        self.version = Some(client.version().await?);
        self.models = client.loaded_models().await?;
        Ok(())
    }
}
