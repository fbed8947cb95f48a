//! The rules about models. They are the only ones for which a body is looked at, and off unless somebody sets them.

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

use super::body::{BodyFault, ModelReader};
use super::endpoint::{Endpoint, Named};
use super::grants::Grant;
use super::model::{Model, ModelNameFault, Models};

/// Which models may be asked for, whoever asks. By default every one, without a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRules {
    /// These; `None`: every one.
    pub allow: Option<Models>,
    /// Whether those are refused that do not run on this machine.
    pub deny_cloud: bool,
    /// Within how many bytes from the beginning of a body its model has to stand.
    pub within: u64,
}

impl Default for ModelRules {
    /// Many clients put the model behind the messages.
    fn default() -> Self {
        ModelRules { allow: None, deny_cloud: false, within: 1_000_000 }
    }
}

impl ModelRules {
    /// What has to be found out about the model of a request; nothing where no rule is about it.
    pub(super) fn check(
        &self,
        grant: &Grant,
        endpoint: Endpoint,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<ModelCheck>, ModelRefusal> {
        if self.allow.is_none() && !self.deny_cloud && grant.models.is_none() {
            return Ok(None);
        }
        let Some(named) = endpoint.names_model() else { return Ok(None) };
        let mut check =
            ModelCheck { rules: self.clone(), granted: grant.models.clone(), place: Place::Body(false) };
        match named {
            Named::Path => {
                let segment = path.rsplit('/').next().unwrap_or_default();
                let name = segment.replace("%3A", ":").replace("%3a", ":");
                check.place = Place::Known(check.admit(&name)?);
            }
            // Ollama unpacks some bodies.
            Named::Body { .. } if headers.get_all(CONTENT_ENCODING).iter().any(is_coding) => {
                return Err(ModelRefusal::Body(BodyFault::Coded));
            }
            Named::Body { name } => check.place = Place::Body(name),
        }
        Ok(Some(check))
    }
}

fn is_coding(value: &HeaderValue) -> bool {
    !value.as_bytes().eq_ignore_ascii_case(b"identity")
}

/// What has to be found out about the model of a request before it may go on.
#[derive(Debug, Clone)]
pub struct ModelCheck {
    rules: ModelRules,
    granted: Option<Models>,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// The path has it, and the rules let it through.
    Known(Model),
    /// In the body; whether as "name" too.
    Body(bool),
}

impl ModelCheck {
    /// The model, where it was in the path.
    pub fn known(&self) -> Option<&Model> {
        match &self.place {
            Place::Known(model) => Some(model),
            Place::Body(_) => None,
        }
    }

    /// What reads the model out of the body.
    pub fn reader(&self) -> ModelReader {
        ModelReader::new(matches!(self.place, Place::Body(true)))
    }

    /// Within how many bytes from the beginning of the body the model has to stand.
    pub fn within(&self) -> u64 {
        match self.place {
            // Of these any number may run at once, and their bodies are short.
            Place::Body(true) => self.rules.within.min(64 << 10),
            _ => self.rules.within,
        }
    }

    /// Whether the model has to run on this machine, which only Ollama can tell.
    pub fn local_only(&self) -> bool {
        self.rules.deny_cloud
    }

    /// Decides about a model by its name, as the client has sent it.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn admit(&self, sent: &str) -> Result<Model, ModelRefusal> {
        let model = Model::parse(sent).map_err(|fault| ModelRefusal::Name(shown(sent), fault))?;
        let outside = |models: &Option<Models>| models.as_ref().is_some_and(|m| !m.contains(&model));
        if self.rules.deny_cloud && model.is_cloud() {
            Err(ModelRefusal::cloud(sent))
        } else if outside(&self.rules.allow) {
            Err(ModelRefusal::NotAllowed(shown(sent)))
        } else if outside(&self.granted) {
            Err(ModelRefusal::NotGranted(shown(sent)))
        } else {
            Ok(model)
        }
    }
}

/// Why a request is not forwarded, by the rules about models. Names are as the client sent them, as far as they are worth
/// repeating.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    /// The body does not say which model it asks for, so that nobody could read it otherwise.
    #[error("models are restricted here, and {0}")]
    Body(BodyFault),
    /// It says something that is no name.
    #[error("models are restricted here, and of \"{0}\" it can't be told which one it is: {1}")]
    Name(String, ModelNameFault),
    /// The config does not have the model.
    #[error(
        "the model \"{0}\" is not one that may be used here; the node's owner can add it to models.allow"
    )]
    NotAllowed(String),
    /// The peer's grants do not have it.
    #[error("the tailnet policy does not grant you the model \"{0}\"; ask whoever keeps the policy file")]
    NotGranted(String),
    /// It runs on Ollama's servers.
    #[error(
        "the model \"{0}\" runs in the cloud, which is refused here (models.cloud); use one that is on the machine"
    )]
    Cloud(String),
    /// Ollama does not list it.
    #[error(
        "the model \"{0}\" is not on the machine, and others are refused here (models.cloud); /v1/models lists what there is"
    )]
    NotHere(String),
}

impl ModelRefusal {
    /// The model with this name runs on Ollama's servers.
    pub fn cloud(sent: &str) -> ModelRefusal {
        ModelRefusal::Cloud(shown(sent))
    }

    /// Ollama does not list a model with this name.
    pub fn not_here(sent: &str) -> ModelRefusal {
        ModelRefusal::NotHere(shown(sent))
    }

    /// The model's name, as far as it was told.
    pub fn name(&self) -> Option<&str> {
        match self {
            ModelRefusal::Body(_) => None,
            ModelRefusal::Name(name, _)
            | ModelRefusal::NotAllowed(name)
            | ModelRefusal::NotGranted(name)
            | ModelRefusal::Cloud(name)
            | ModelRefusal::NotHere(name) => Some(name),
        }
    }
}

/// The most characters of a name that are repeated or logged.
const SHOWN_MAX: usize = 100;

/// A name as far as it is worth repeating: printable and at most 100 characters.
pub(super) fn shown(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '?' };
    name.chars().take(SHOWN_MAX).map(plain).collect()
}
