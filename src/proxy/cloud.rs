//! Whether a model runs on this machine. A name says so only of models that are in the cloud by their tag; any other may
//! stand for one there too, which Ollama tells of it. Source: `remote_host` in the answers of `/api/tags` and `/api/show`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ollama::{InstalledModel, OllamaClient, OllamaError, Upstream};
use crate::policy::Model;

/// How long Ollama may take, all in all. It is on this machine, and makes no model run for this.
const PATIENCE: Duration = Duration::from_secs(5);

/// What Ollama has said.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    /// The digests of models that run here. A digest is that of all a model is made of, so none ever turns into another;
    /// those that Ollama no longer lists are forgotten.
    here: Mutex<HashSet<String>>,
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// On this machine.
    Here,
    /// On another.
    Elsewhere,
    /// Nowhere: Ollama does not list it.
    Unlisted,
}

impl Cloud {
    /// Where `model` runs, as Ollama has it at this moment.
    ///
    /// # Errors
    /// Why Ollama does not tell.
    pub(super) async fn look_up(&self, upstream: &Upstream, model: &Model) -> Result<Runs, String> {
        let client = OllamaClient::with_time_limit(upstream, PATIENCE);
        self.told(&client, model).await.map_err(|error| error.to_string())
    }

    async fn told(&self, client: &OllamaClient<'_>, model: &Model) -> Result<Runs, OllamaError> {
        let models = client.installed_models().await?;
        self.here().retain(|digest| models.iter().any(|entry| entry.digest == *digest));
        // One name could be there twice, in two spellings, of which Ollama picks one.
        let same = |entry: &&InstalledModel| Model::parse(&entry.model).as_ref() == Ok(model);
        let found: Vec<&InstalledModel> = models.iter().filter(same).collect();
        if found.is_empty() {
            return Ok(Runs::Unlisted);
        }
        for entry in found {
            if entry.origin.is_remote() {
                return Ok(Runs::Elsewhere);
            }
            if self.here().contains(&entry.digest) {
                continue;
            }
            if client.show(&entry.model).await?.is_remote() {
                return Ok(Runs::Elsewhere);
            }
            self.here().insert(entry.digest.clone());
        }
        Ok(Runs::Here)
    }

    fn here(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
