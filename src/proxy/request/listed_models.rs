//! The names of the models that Ollama lists. Usage is counted by these names only, so that no text of a client becomes a
//! label or a line of a log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::ollama::{InstalledModel, OllamaClient, Upstream};
use crate::panics;
use crate::policy::Model;

/// Ollama is asked again for its list when a request names a model and the last question is this old. So names that a
/// client makes up cause at most one question in this time.
const FRESH: Duration = Duration::from_secs(10);

/// The list as Ollama last told it.
#[derive(Debug, Default)]
pub(crate) struct ListedModels(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// Whose list it is.
    of: Option<Arc<Upstream>>,
    asked: Option<Instant>,
    /// The names as Ollama lists them, by their canonical names. After an error they are those of before.
    names: HashMap<String, Arc<str>>,
}

impl ListedModels {
    /// Asks Ollama for its list in a task of its own, unless it was asked a moment ago. No request waits for it.
    pub(crate) fn refresh(self: &Arc<Self>, upstream: &Arc<Upstream>) {
        if !self.0.lock().is_due(upstream) {
            return;
        }
        let (models, upstream) = (Arc::clone(self), Arc::clone(upstream));
        tokio::spawn(panics::named("Ollama's list of models", async move {
            match OllamaClient::new(&upstream).installed_models().await {
                Ok(listed) => models.0.lock().keep(&upstream, &listed),
                Err(error) => tracing::debug!(%error, "usage of unknown models counts as other"),
            }
        }));
    }

    /// The name under which Ollama lists the model that a client calls `sent`.
    pub(crate) fn name(&self, sent: &str) -> Option<Arc<str>> {
        let model = Model::parse(sent).ok()?;
        self.0.lock().names.get(&model.to_string()).map(Arc::clone)
    }
}

impl List {
    /// Whether Ollama is to be asked now. Forgets the list of another Ollama.
    fn is_due(&mut self, upstream: &Arc<Upstream>) -> bool {
        if self.of.as_ref() != Some(upstream) {
            *self = List { of: Some(Arc::clone(upstream)), ..List::default() };
        }
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() >= FRESH);
        if is_due {
            self.asked = Some(Instant::now());
        }
        is_due
    }

    fn keep(&mut self, upstream: &Arc<Upstream>, listed: &[InstalledModel]) {
        if self.of.as_ref() == Some(upstream) {
            let names = listed.iter().filter_map(|entry| {
                let model = Model::parse(&entry.model).ok()?;
                Some((model.to_string(), entry.model.as_str().into()))
            });
            self.names = names.collect();
        }
    }
}
