//! The rules about models and their settings. Only for these the proxy inspects request bodies, and all are off by default.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::body::{BodyFault, DeniedBy, DeniedKey, DeniedSettings, ModelKeys, ModelReader, ModelSetting};
use super::endpoint::{Endpoint, ModelSource};
use super::grant::Grant;
use super::model::{Model, ModelNameFault, Models};
use super::rule::Rule;

/// Which models every peer may use, and what it may change about them. By default everything, and the proxy does not inspect bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRules {
    /// Only these; `None`: all.
    pub allow: Option<Models>,
    /// Refuse models that do not run on this machine.
    pub local_only: bool,
    /// The model must be within this many bytes from the beginning of a body.
    pub within: u64,
    /// Whether requests may set `keep_alive`, which unloads models or keeps them loaded.
    pub keep_alive: bool,
    /// Whether requests may set options such as `num_ctx`, which reload models.
    pub load_options: bool,
}

impl Default for ModelRules {
    /// One megabyte, because many clients put the model after the messages.
    fn default() -> Self {
        ModelRules { allow: None, local_only: false, within: 1_000_000, keep_alive: true, load_options: true }
    }
}

impl ModelRules {
    /// Whether a peer with `grant` may use a model of this name. Where the model runs is another question
    /// ([`ModelRules::local_only`]).
    pub fn admits(&self, grant: &Grant, name: &str) -> bool {
        if self.allow.is_none() && !self.local_only && grant.models.is_none() {
            return true;
        }
        let (rules, granted) = (self.clone(), grant.models.clone());
        ModelCheck { rules, granted, keys: ModelKeys::Model, denied: DeniedSettings::default(), known: None }
            .admit(name)
            .is_ok()
    }

    /// What to check about the model of a request and its settings; `None` if no rule is about them.
    pub(super) fn check(
        &self,
        grant: &Grant,
        endpoint: Endpoint,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<ModelCheck>, ModelRefusal> {
        let restricts_models = self.allow.is_some() || self.local_only || grant.models.is_some();
        let denied = self.denied_settings(grant, endpoint);
        if !restricts_models && denied.is_empty() {
            return Ok(None);
        }
        let Some(source) = endpoint.model_source() else { return Ok(None) };
        let mut check = ModelCheck {
            rules: self.clone(),
            granted: grant.models.clone(),
            keys: ModelKeys::Ignored,
            denied,
            known: None,
        };
        match source {
            ModelSource::Path => {
                check.known = Some(check.admit(&name_in_path(path))?);
            }
            ModelSource::Form => return Err(ModelRefusal::Body(BodyFault::Multipart)),
            ModelSource::Body(_) if headers.get_all(CONTENT_TYPE).iter().any(is_multipart) => {
                return Err(ModelRefusal::Body(BodyFault::Multipart));
            }
            // Ollama decompresses some bodies.
            ModelSource::Body(_) if headers.get_all(CONTENT_ENCODING).iter().any(is_coding) => {
                return Err(ModelRefusal::Body(BodyFault::Coded));
            }
            ModelSource::Body(keys) if restricts_models => check.keys = keys,
            ModelSource::Body(_) => {}
        }
        Ok(Some(check))
    }

    fn denied_settings(&self, grant: &Grant, endpoint: Endpoint) -> DeniedSettings {
        let denied = |config, granted| match (config, granted) {
            (true, true) => None,
            (false, _) => Some(DeniedBy::Config),
            (true, false) => Some(DeniedBy::Grants),
        };
        if !endpoint.takes_model_settings() {
            return DeniedSettings::default();
        }
        DeniedSettings {
            keep_alive: denied(self.keep_alive, grant.keep_alive),
            load_options: denied(self.load_options, grant.load_options),
        }
    }
}

/// The model that a path names in its last segment, in which only a colon can be encoded.
pub(super) fn name_in_path(path: &str) -> String {
    decode_colons(path.rsplit('/').next().unwrap_or_default())
}

/// A name from a query, in which only a colon and a slash can be encoded: the other characters of a name need not be.
pub(crate) fn decoded_name(value: &str) -> String {
    decode_colons(value).replace("%2F", "/").replace("%2f", "/")
}

fn decode_colons(text: &str) -> String {
    text.replace("%3A", ":").replace("%3a", ":")
}

pub(super) fn is_coding(value: &HeaderValue) -> bool {
    !value.as_bytes().eq_ignore_ascii_case(b"identity")
}

pub(super) fn is_multipart(value: &HeaderValue) -> bool {
    value.as_bytes().trim_ascii().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
}

/// What to check about the model of a request before it may be forwarded.
#[derive(Debug, Clone)]
pub struct ModelCheck {
    rules: ModelRules,
    granted: Option<Models>,
    /// The keys that name the model, if the body does.
    keys: ModelKeys,
    /// The settings that the body may not change.
    denied: DeniedSettings,
    /// The model, if the path names it and the rules allow it.
    known: Option<Model>,
}

/// The most bytes of a body of `/api/show` to hold back for its model. These bodies are short, and the queue does not
/// limit how many run at once.
const SHOW_WITHIN_MAX: u64 = 64 << 10;

impl ModelCheck {
    /// The model, if the path names it.
    pub fn known(&self) -> Option<&Model> {
        self.known.as_ref()
    }

    /// Whether a rule is about the model in the body. Otherwise the body has only to be followed by [`Self::reader`].
    pub fn needs_model(&self) -> bool {
        self.keys != ModelKeys::Ignored
    }

    /// What reads the model and the settings out of the body.
    pub fn reader(&self) -> ModelReader {
        ModelReader::new(self.keys).denying(self.denied)
    }

    /// The model must be within this many bytes from the beginning of the body.
    pub fn within(&self) -> u64 {
        match self.keys {
            ModelKeys::Model | ModelKeys::Ignored => self.rules.within,
            ModelKeys::ModelOrName => self.rules.within.min(SHOW_WITHIN_MAX),
        }
    }

    /// Whether the model must run on this machine. Only Ollama knows whether it does.
    pub fn local_only(&self) -> bool {
        self.rules.local_only
    }

    /// Decides about a model by its name as the client sent it.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn admit(&self, sent: &str) -> Result<Model, ModelRefusal> {
        let model = Model::parse(sent).map_err(|fault| ModelRefusal::Name(printable_name(sent), fault))?;
        let outside = |models: &Option<Models>| models.as_ref().is_some_and(|m| !m.contains(&model));
        if self.rules.local_only && model.is_cloud() {
            Err(ModelRefusal::cloud(sent))
        } else if outside(&self.rules.allow) {
            Err(ModelRefusal::NotAllowed(printable_name(sent)))
        } else if outside(&self.granted) {
            Err(ModelRefusal::NotGranted(printable_name(sent)))
        } else {
            Ok(model)
        }
    }
}

/// Why the rules about models refuse a request. Names are as the client sent them, made printable and cut to 100
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    /// The body does not name one certain model.
    #[error("models are restricted here: {0}")]
    Body(BodyFault),
    /// The text is no model name, or could mean two.
    #[error("models are restricted here: \"{0}\" is not a usable model name: {1}")]
    Name(String, ModelNameFault),
    /// The config does not have the model.
    #[error("the model \"{0}\" is not allowed here; ask the operator to add it to models.allow")]
    NotAllowed(String),
    /// The peer's grants do not have it.
    #[error(
        "the tailnet policy does not grant you the model \"{0}\"; ask an admin of the tailnet to add it to your grant"
    )]
    NotGranted(String),
    /// It runs on Ollama's servers.
    #[error(
        "the model \"{0}\" runs in the cloud, and cloud models are off here (models.cloud); use a model on this machine"
    )]
    Cloud(String),
    /// Ollama does not list it.
    #[error(
        "the model \"{0}\" is not on this machine, and other models are off here (models.cloud); GET /v1/models lists the models"
    )]
    NotHere(String),
    /// The body changes a setting of the model that the client may not change.
    #[error("{0}")]
    Setting(DeniedKey),
}

impl From<BodyFault> for ModelRefusal {
    fn from(fault: BodyFault) -> ModelRefusal {
        match fault {
            BodyFault::Denied(denied) => ModelRefusal::Setting(denied),
            fault => ModelRefusal::Body(fault),
        }
    }
}

impl ModelRefusal {
    /// The rule.
    pub(super) fn rule(&self) -> Rule {
        match self {
            ModelRefusal::Setting(denied) => match denied.setting {
                ModelSetting::KeepAlive => Rule::KeepAlive,
                ModelSetting::LoadOptions => Rule::LoadOptions,
            },
            _ => Rule::Model,
        }
    }

    /// The model with this name runs on Ollama's servers.
    pub fn cloud(sent: &str) -> ModelRefusal {
        ModelRefusal::Cloud(printable_name(sent))
    }

    /// Ollama does not list a model with this name.
    pub fn not_here(sent: &str) -> ModelRefusal {
        ModelRefusal::NotHere(printable_name(sent))
    }

    /// The model's name, if the request has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            ModelRefusal::Body(_) | ModelRefusal::Setting(_) => None,
            ModelRefusal::Name(name, _)
            | ModelRefusal::NotAllowed(name)
            | ModelRefusal::NotGranted(name)
            | ModelRefusal::Cloud(name)
            | ModelRefusal::NotHere(name) => Some(name),
        }
    }
}

/// The most characters of a name that a refusal or a log repeats.
const SHOWN_MAX: usize = 100;

/// A name that is safe to repeat: printable ASCII, cut to 100 characters.
pub(super) fn printable_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '?' };
    name.chars().take(SHOWN_MAX).map(plain).collect()
}
