//! Whether a model runs on this machine. Only a tag such as `:cloud` shows that in the name; any other name may refer to a
//! model in the cloud as well, and Ollama says so. Source: `remote_host` in the answers of `/api/tags` and `/api/show`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::fetch::{Fault, ask, in_time};
use crate::policy::Model;
use crate::upstream::Upstream;

/// How long Ollama may take for all questions together. It runs no model for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the models in Ollama.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
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

#[derive(Deserialize)]
struct Tags {
    models: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    model: String,
    digest: String,
    #[serde(flatten)]
    remote: Remote,
}

#[derive(Deserialize)]
struct Remote {
    #[serde(default)]
    remote_host: String,
    #[serde(default)]
    remote_model: String,
}

impl Remote {
    fn is_remote(&self) -> bool {
        !self.remote_host.is_empty() || !self.remote_model.is_empty()
    }
}

impl Cloud {
    /// Where `model` runs, by what Ollama says now.
    ///
    /// # Errors
    /// The reason why Ollama does not say it.
    pub(crate) async fn look_up(&self, upstream: &Upstream, model: &Model) -> Result<ModelLocation, String> {
        in_time(PATIENCE, self.ask(upstream, model)).await
    }

    async fn ask(&self, upstream: &Upstream, model: &Model) -> Result<ModelLocation, Fault> {
        let Tags { models } = ask(upstream, Method::GET, "/api/tags", Bytes::new()).await?;
        self.local().retain(|digest| models.iter().any(|entry| entry.digest == *digest));
        // A name may be listed twice, in two spellings, and Ollama picks one of them.
        let same = |entry: &&Entry| Model::parse(&entry.model).as_ref() == Ok(model);
        let found: Vec<&Entry> = models.iter().filter(same).collect();
        if found.is_empty() {
            return Ok(ModelLocation::Unlisted);
        }
        for entry in found {
            if entry.remote.is_remote() {
                return Ok(ModelLocation::Remote);
            }
            if self.local().contains(&entry.digest) {
                continue;
            }
            let body = json!({ "model": entry.model }).to_string().into();
            let shown: Remote = ask(upstream, Method::POST, "/api/show", body).await?;
            if shown.is_remote() {
                return Ok(ModelLocation::Remote);
            }
            self.local().insert(entry.digest.clone());
        }
        Ok(ModelLocation::Local)
    }

    fn local(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
