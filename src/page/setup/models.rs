//! The models that Ollama lists. One list serves all peers for a few seconds, so that they can't make Ollama busy.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::ollama::{InstalledModel, ModelDetails, OllamaClient, OllamaError, Upstream};
use crate::panics;

/// How long a list, or its absence, is used.
const MAX_AGE: Duration = Duration::from_secs(5);

/// How many models Ollama is asked about, one by one. The others count as models that run elsewhere.
const DESCRIBED_MAX: usize = 200;

/// After this many failures Ollama is not asked about more models until the next list.
const FAILURES_MAX: u32 = 8;

/// A model that Ollama lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedModel {
    /// Its name, as a request has it.
    pub(super) name: String,
    /// Whether it is known to run on this machine.
    pub(super) is_local: bool,
    /// Whether it answers prompts, as far as is known.
    pub(super) answers_prompts: bool,
}

/// Ollama's latest list.
#[derive(Default)]
pub(super) struct ModelList(Arc<Mutex<Latest>>);

#[derive(Default)]
struct Latest {
    asked: Option<Instant>,
    /// `None`: Ollama did not answer.
    models: Option<Arc<[ListedModel]>>,
    /// What Ollama says of each model, by digest. A digest covers the whole model, so this can't change.
    shown: HashMap<String, ModelDetails>,
}

impl ModelList {
    /// The models, in Ollama's order; `None`: Ollama does not answer. Takes 2 s at most.
    pub(super) async fn get(&self, upstream: &Upstream) -> Option<Arc<[ListedModel]>> {
        let mut latest = Arc::clone(&self.0).lock_owned().await;
        if latest.asked.is_some_and(|asked| asked.elapsed() < MAX_AGE) {
            return latest.models.clone();
        }
        let upstream = upstream.clone();
        // A task of its own: a client that disconnects meanwhile must not have the next one ask again.
        let asking = tokio::spawn(panics::named("the models for the set-up", async move {
            let models = latest.ask(&OllamaClient::new(&upstream)).await;
            latest.models =
                models.inspect_err(|error| tracing::debug!(%error, "no models for the set-up")).ok();
            latest.asked = Some(Instant::now());
            latest.models.clone()
        }));
        asking.await.ok().flatten() // an error: it panicked, which is logged
    }
}

impl Latest {
    async fn ask(&mut self, client: &OllamaClient<'_>) -> Result<Arc<[ListedModel]>, OllamaError> {
        let installed = client.installed_models().await?;
        self.shown.retain(|digest, _| installed.iter().any(|model| model.digest == *digest));
        let mut failures = 0;
        for model in installed.iter().take(DESCRIBED_MAX) {
            if failures < FAILURES_MAX && !self.shown.contains_key(&model.digest) {
                match client.show(&model.model).await {
                    Ok(shown) => drop(self.shown.insert(model.digest.clone(), shown)),
                    Err(_) => failures += 1,
                }
            }
        }
        Ok(installed.into_iter().map(|model| self.described(model)).collect())
    }

    /// A model that Ollama has not described counts as one that runs elsewhere.
    fn described(&self, listed: InstalledModel) -> ListedModel {
        let InstalledModel { model: name, digest, origin } = listed;
        let shown = self.shown.get(&digest);
        let is_local = !origin.is_remote() && shown.is_some_and(|shown| !shown.origin.is_remote());
        ListedModel { name, is_local, answers_prompts: shown.is_none_or(ModelDetails::answers_prompts) }
    }
}
