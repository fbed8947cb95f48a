//! Whether a model runs on this machine. Only a tag such as `:cloud` shows that in the name; any other name may refer to a
//! model in the cloud as well, and Ollama says so. Source: `remote_host` in the answers of `/api/tags` and `/api/show`.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;

use crate::ollama::{InstalledModel, OllamaClient, OllamaError, Upstream};
use crate::policy::Model;

/// How long Ollama may take for all questions together. It runs no model for them.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The models in Ollama that are known to run on this machine.
#[derive(Debug, Default)]
pub(crate) struct LocalModels {
    /// The digests of models that run here. A digest covers the whole model, so this can't change. Those that Ollama no
    /// longer lists are dropped.
    local: Mutex<HashSet<String>>,
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModelLocation {
    /// On this machine.
    Local,
    /// On another machine.
    Remote,
    /// Ollama does not list it.
    Unlisted,
}

impl LocalModels {
    /// Where `model` runs, by what Ollama says now.
    ///
    /// # Errors
    /// The reason why Ollama does not say it.
    pub(crate) async fn look_up(&self, upstream: &Upstream, model: &Model) -> Result<ModelLocation, String> {
        let client = OllamaClient::with_time_limit(upstream, LOOKUP_TIMEOUT);
        self.ask(&client, model).await.map_err(|error| error.to_string())
    }

    async fn ask(&self, client: &OllamaClient<'_>, model: &Model) -> Result<ModelLocation, OllamaError> {
        let models = client.installed_models().await?;
        self.local.lock().retain(|digest| models.iter().any(|entry| entry.digest == *digest));
        // A name may be listed twice, in two spellings, and Ollama picks one of them.
        let same = |entry: &&InstalledModel| Model::parse(&entry.model).as_ref() == Ok(model);
        let found: Vec<&InstalledModel> = models.iter().filter(same).collect();
        if found.is_empty() {
            return Ok(ModelLocation::Unlisted);
        }
        for entry in found {
            if entry.origin.is_remote() {
                return Ok(ModelLocation::Remote);
            }
            if self.local.lock().contains(&entry.digest) {
                continue;
            }
            if client.show(&entry.model).await?.origin.is_remote() {
                return Ok(ModelLocation::Remote);
            }
            self.local.lock().insert(entry.digest.clone());
        }
        Ok(ModelLocation::Local)
    }
}
