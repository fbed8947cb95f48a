//! Loads the models of `models.preload` when the proxy starts and each time that Ollama comes back, one after the other.
//!
//! A preload has the lowest priority: it starts only while a running slot is free that no request waits for, and holds
//! none, so a request of a peer never waits for it in the queue and is never refused because of it.
//!
//! An idle connection shows when Ollama goes away, even for a moment, without asking it again and again: Go's server
//! closes an idle connection only when it ends (`server/routes.go` of Ollama sets no timeouts).

mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::ollama::{
    InstalledModel, ModelDetails, OllamaClient, OllamaError, OllamaFailure, OllamaStream, Upstream,
};
use crate::policy::Model;
use crate::proxy::Proxy;
use crate::settings::Settings;
pub use state::{PreloadState, PreloadedModel};

/// The pause before Ollama is tried again after it did not answer or went away.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest such pause. It doubles each time that Ollama breaks off while it loads a model, which may be what ends it.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How long Ollama may take to say what a model is. It may be busy with its own start.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long Ollama may take to load a model. It gives up by itself if a load makes no progress (`OLLAMA_LOAD_TIMEOUT`).
const LOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// Loads the models of `models.preload`.
pub struct Preloader {
    settings: Arc<Settings>,
    proxy: Proxy,
    states: watch::Sender<Vec<PreloadedModel>>,
}

/// The models that were tried since Ollama answered, each with the reason if it failed.
type Tried = Vec<(Model, Result<(), String>)>;

/// Why a round of loading ends.
enum RoundEnd {
    /// Ollama went away, or another one is configured.
    Over,
    /// Ollama broke off while it loaded a model.
    BrokeOff,
}

/// Why a model is not loaded.
enum LoadFault {
    /// Ollama says no. It would say so again.
    Refused(String),
    /// Ollama did not answer as it should.
    Failed(String),
}

/// A model as Ollama lists it, to be loaded.
struct Found {
    name: String,
    details: ModelDetails,
}

impl Preloader {
    /// Shows in `states` what becomes of each model. `proxy` has the running slots.
    pub fn new(settings: Arc<Settings>, proxy: Proxy, states: watch::Sender<Vec<PreloadedModel>>) -> Self {
        Preloader { settings, proxy, states }
    }

    /// Loads the models whenever there is a reason to. Does not end.
    pub async fn run(self) {
        let mut configs = self.settings.configs();
        let mut tried = Tried::new();
        let mut pause = PAUSE;
        loop {
            let config = Arc::clone(&configs.borrow_and_update());
            self.show(&config, &tried, None);
            if config.preload.is_empty() {
                let _ = configs.changed().await; // no error: `self` has the sender
                continue;
            }
            if let Some(connection) = connect(&config.upstream).await {
                tried.clear();
                pause = match self.round(connection, &config.upstream, &mut configs, &mut tried).await {
                    RoundEnd::Over => PAUSE,
                    RoundEnd::BrokeOff => LONGEST_PAUSE.min(pause * 2),
                };
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = configs.changed() => {}
            }
        }
    }

    /// Loads the models that are not `tried`, until Ollama goes away. A reload of the config has failed ones tried again.
    async fn round(
        &self,
        mut connection: OllamaStream,
        upstream: &Upstream,
        configs: &mut watch::Receiver<Arc<Config>>,
        tried: &mut Tried,
    ) -> RoundEnd {
        loop {
            let config = Arc::clone(&configs.borrow_and_update());
            if config.upstream != *upstream || config.preload.is_empty() {
                return RoundEnd::Over;
            }
            self.show(&config, tried, None);
            let next = config.preload.iter().find(|model| !tried.iter().any(|(done, _)| done == *model));
            let found = async {
                match next {
                    Some(model) => (model, self.prepare(&config, model).await),
                    None => std::future::pending().await,
                }
            };
            let (model, found) = tokio::select! {
                found = found => found,
                _ = configs.changed() => {
                    tried.retain(|(_, outcome)| outcome.is_ok());
                    continue;
                }
                _ = connection.read_u8() => {
                    tracing::info!("Ollama went away: the models of models.preload are loaded when it is back");
                    tried.clear();
                    return RoundEnd::Over;
                }
            };
            let loaded = match found {
                Err(fault) => Err(fault),
                Ok(found) => {
                    self.show(&config, tried, Some(model));
                    load(upstream, model, &found).await
                }
            };
            let broke_off = matches!(loaded, Err(LoadFault::Failed(_)));
            if broke_off {
                tried.clear();
            }
            tried.push((model.clone(), loaded.map_err(|fault| report(model, fault))));
            if broke_off {
                return RoundEnd::BrokeOff;
            }
        }
    }

    /// Finds `model` in Ollama, and waits until it may be loaded.
    async fn prepare(&self, config: &Config, model: &Model) -> Result<Found, LoadFault> {
        let found = find(&config.upstream, model).await?;
        self.proxy.slot_is_free(&config.limits).await;
        Ok(found)
    }

    fn show(&self, config: &Config, tried: &Tried, loading: Option<&Model>) {
        let state = |model: &Model| {
            let outcome = tried.iter().find(|(done, _)| done == model).map(|(_, outcome)| outcome);
            let state = match outcome {
                Some(Ok(())) => PreloadState::Loaded,
                Some(Err(_)) => PreloadState::Failed,
                None if loading == Some(model) => PreloadState::Loading,
                None => PreloadState::Waiting,
            };
            PreloadedModel::new(model, state, outcome.and_then(|outcome| outcome.as_ref().err()))
        };
        self.states.send_replace(config.preload.iter().map(state).collect());
    }
}

/// A connection to an Ollama that answers; `None`: it does not.
async fn connect(upstream: &Upstream) -> Option<OllamaStream> {
    OllamaClient::new(upstream).version().await.ok()?;
    upstream.connect().await.ok()
}

async fn find(upstream: &Upstream, model: &Model) -> Result<Found, LoadFault> {
    let client = OllamaClient::with_time_limit(upstream, LOOKUP_TIMEOUT);
    let installed = client.installed_models().await?;
    let same = |entry: &&InstalledModel| Model::parse(&entry.model).as_ref() == Ok(model);
    let Some(entry) = installed.iter().find(same) else {
        let reason = format!("Ollama does not have it; run `ollama pull {model}`, then reload the config");
        return Err(LoadFault::Refused(reason));
    };
    let details = client.show(&entry.model).await?;
    if entry.origin.is_remote() || details.origin.is_remote() {
        return Err(LoadFault::Refused("it runs on another machine, so there is nothing to load".to_owned()));
    }
    Ok(Found { name: entry.model.clone(), details })
}

async fn load(upstream: &Upstream, model: &Model, found: &Found) -> Result<(), LoadFault> {
    let began = Instant::now();
    OllamaClient::with_time_limit(upstream, LOAD_TIMEOUT).load(&found.name, &found.details).await?;
    tracing::info!(%model, took = ?began.elapsed(), "loaded a model of models.preload");
    Ok(())
}

/// Logs why `model` is not loaded, and returns it.
fn report(model: &Model, fault: LoadFault) -> String {
    let (reason, retry) = match fault {
        LoadFault::Refused(reason) => (reason, "when Ollama comes back or the config is reloaded"),
        LoadFault::Failed(reason) => (reason, "soon"),
    };
    tracing::warn!(%model, reason, retry, "cannot load a model of models.preload");
    reason
}

impl From<OllamaError> for LoadFault {
    fn from(error: OllamaError) -> LoadFault {
        match &error.failure {
            // Ollama's queue is full.
            OllamaFailure::Status(status, _) if status.as_u16() == 503 => LoadFault::Failed(error.reason()),
            OllamaFailure::Status(..) => LoadFault::Refused(error.reason()),
            _ => LoadFault::Failed(error.reason()),
        }
    }
}
