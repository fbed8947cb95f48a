//! Whether a model runs on this machine. A name says so only of models that are in the cloud by their tag; any other may
//! stand for one there too, which Ollama tells of it. Source: `remote_host` in the answers of `/api/tags` and `/api/show`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::ollama::Upstream;
use crate::ollama::http::{Fault, ask, in_time};
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
    /// Where `model` runs, as Ollama has it at this moment.
    ///
    /// # Errors
    /// Why Ollama does not tell.
    pub(super) async fn look_up(&self, upstream: &Upstream, model: &Model) -> Result<Runs, String> {
        in_time(PATIENCE, self.told(upstream, model)).await
    }

    async fn told(&self, upstream: &Upstream, model: &Model) -> Result<Runs, Fault> {
        let Tags { models } = ask(upstream, Method::GET, "/api/tags", Bytes::new()).await?;
        self.here().retain(|digest| models.iter().any(|entry| entry.digest == *digest));
        // One name could be there twice, in two spellings, of which Ollama picks one.
        let same = |entry: &&Entry| Model::parse(&entry.model).as_ref() == Ok(model);
        let found: Vec<&Entry> = models.iter().filter(same).collect();
        if found.is_empty() {
            return Ok(Runs::Unlisted);
        }
        for entry in found {
            if entry.remote.is_remote() {
                return Ok(Runs::Elsewhere);
            }
            if self.here().contains(&entry.digest) {
                continue;
            }
            let body = json!({ "model": entry.model }).to_string().into();
            let shown: Remote = ask(upstream, Method::POST, "/api/show", body).await?;
            if shown.is_remote() {
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
