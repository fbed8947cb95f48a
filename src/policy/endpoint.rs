//! The endpoints of Ollama that the proxy knows. A route that is not in the table can't be allowed, so a route that a newer
//! Ollama adds is refused until it is added here.
//!
//! Source: `tests/support/ollama-routes.tsv`, the routes of Ollama 0.17.0 to 0.34.4; `tests/config/endpoints.rs` compares.
//! `GET_HEAD` marks the routes that Ollama registers for both methods.

use std::fmt;

use http::Method;

use super::body::ModelKeys;

/// An endpoint that the config can allow, by its index in the table below.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(u8);

struct Spec {
    /// The name in the config, in grants and in logs.
    name: &'static str,
    methods: &'static [Method],
    /// The path. `{model}` at its end stands for a model's name.
    path: &'static str,
    default: bool,
}

const GET: &[Method] = &[Method::GET];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];

const fn on(name: &'static str, methods: &'static [Method], path: &'static str) -> Spec {
    Spec { name, methods, path, default: true }
}

const fn off(name: &'static str, methods: &'static [Method], path: &'static str) -> Spec {
    Spec { name, methods, path, default: false }
}

static TABLE: [Spec; 20] = [
    on("v1_chat_completions", POST, "/v1/chat/completions"),
    on("v1_models", GET, "/v1/models"),
    on("v1_model", GET, "/v1/models/{model}"),
    on("v1_responses", POST, "/v1/responses"),
    on("v1_messages", POST, "/v1/messages"),
    on("api_version", GET_HEAD, "/api/version"),
    on("api_tags", GET_HEAD, "/api/tags"),
    on("api_show", POST, "/api/show"),
    off("api_chat", POST, "/api/chat"),
    off("api_generate", POST, "/api/generate"),
    off("api_embed", POST, "/api/embed"),
    off("api_embeddings", POST, "/api/embeddings"),
    off("v1_completions", POST, "/v1/completions"),
    off("v1_embeddings", POST, "/v1/embeddings"),
    off("v1_responses_compact", POST, "/v1/responses/compact"),
    off("v1_audio_transcriptions", POST, "/v1/audio/transcriptions"),
    off("v1_images_generations", POST, "/v1/images/generations"),
    off("v1_images_edits", POST, "/v1/images/edits"),
    off("api_ps", GET, "/api/ps"),
    off("root", GET_HEAD, "/"),
];

const MODEL: &str = "{model}";

impl Endpoint {
    /// Every endpoint that the config can allow.
    pub fn all() -> impl Iterator<Item = Endpoint> {
        (0..TABLE.len() as u8).map(Endpoint)
    }

    /// The endpoint with this name, such as `v1_chat_completions`.
    pub fn named(name: &str) -> Option<Endpoint> {
        Self::all().find(|e| e.name() == name)
    }

    /// The endpoint that serves a path, with any method.
    pub(super) fn at(path: &str) -> Option<Endpoint> {
        Self::all().find(|e| match e.path().strip_suffix(MODEL) {
            Some(prefix) => path.strip_prefix(prefix).is_some_and(super::target::is_model),
            None => e.path() == path,
        })
    }

    /// The name in the config, in grants and in logs.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The path, with `{model}` in place of a model's name.
    pub fn path(self) -> &'static str {
        self.spec().path
    }

    /// The methods that Ollama serves here.
    pub fn methods(self) -> &'static [Method] {
        self.spec().methods
    }

    /// The methods as an Allow header lists them: `GET, HEAD`.
    pub fn allow(self) -> String {
        allow(self.methods())
    }

    /// Whether a request makes a model run. Ollama answers the others from memory or disk.
    pub fn computes(self) -> bool {
        self.methods() == POST && self.name() != "api_show"
    }

    /// Whether Ollama's answers report how many tokens they took.
    pub fn reports_tokens(self) -> bool {
        !matches!(self.name(), "v1_audio_transcriptions" | "v1_images_generations" | "v1_images_edits")
    }

    /// Whether clients first try a WebSocket here, which Ollama does not serve.
    pub(super) fn is_tried_by_websocket(self) -> bool {
        self.name() == "v1_responses"
    }

    /// Where a request names its model; `None` if it is about no single model.
    pub(super) fn model_source(self) -> Option<ModelSource> {
        match self.name() {
            "api_show" => Some(ModelSource::Body(ModelKeys::ModelOrName)),
            "v1_model" => Some(ModelSource::Path),
            "v1_audio_transcriptions" => Some(ModelSource::Form),
            _ if self.computes() => Some(ModelSource::Body(ModelKeys::Model)),
            _ => None,
        }
    }

    /// Whether a body can change for how long a model stays loaded, or how it is loaded. Ollama's other endpoints make
    /// their own request of the body, without these keys.
    pub(super) fn takes_model_settings(self) -> bool {
        matches!(self.name(), "api_chat" | "api_generate" | "api_embed" | "api_embeddings")
    }

    /// Whether the endpoint is on by default.
    pub fn default_on(self) -> bool {
        self.spec().default
    }

    fn spec(self) -> &'static Spec {
        &TABLE[usize::from(self.0)]
    }
}

/// Where a request names its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelSource {
    /// In the last segment of the path.
    Path,
    /// In the body, under one of these keys.
    Body(ModelKeys),
    /// In a multipart form or in the query: Ollama takes the query's first. The proxy reads neither.
    Form,
}

/// Methods as an Allow header lists them.
pub(super) fn allow(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EndpointSet(u32);

impl EndpointSet {
    /// No endpoint.
    pub const EMPTY: EndpointSet = EndpointSet(0);

    /// Every endpoint that the config can allow.
    pub const ALL: EndpointSet = EndpointSet((1 << TABLE.len()) - 1);

    /// The endpoints in either set.
    #[must_use]
    pub fn union(self, other: EndpointSet) -> Self {
        EndpointSet(self.0 | other.0)
    }

    /// The endpoints in both sets.
    #[must_use]
    pub fn intersection(self, other: EndpointSet) -> Self {
        EndpointSet(self.0 & other.0)
    }

    /// The set with or without `endpoint`.
    #[must_use]
    pub fn with(self, endpoint: Endpoint, on: bool) -> Self {
        let bit = 1 << endpoint.0;
        EndpointSet(if on { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether `endpoint` is in the set.
    pub fn contains(self, endpoint: Endpoint) -> bool {
        self.0 & (1 << endpoint.0) != 0
    }

    /// The endpoints in the set, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Endpoint> {
        Endpoint::all().filter(move |e| self.contains(*e))
    }
}

impl Default for EndpointSet {
    /// The endpoints that are on by default.
    fn default() -> Self {
        Endpoint::all().fold(Self::EMPTY, |set, e| set.with(e, e.default_on()))
    }
}

impl fmt::Debug for EndpointSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A route that changes the machine or acts on behalf of its owner. The config can't allow it.
#[derive(Debug, PartialEq, Eq)]
pub struct Management {
    /// The name that it would have in the config.
    pub name: &'static str,
    /// The path. `/` at its end includes all paths below it.
    pub path: &'static str,
    /// What a peer could do with it, as a verb and its object.
    pub harm: &'static str,
}

const fn never(name: &'static str, path: &'static str, harm: &'static str) -> Management {
    Management { name, path, harm }
}

/// Every route of Ollama that the config can't allow, with the reason.
pub static MANAGEMENT: [Management; 12] = [
    never("api_pull", "/api/pull", "fills the disk with models of the peer's choice"),
    never("api_push", "/api/push", "publishes this machine's models under its owner's name"),
    never("api_create", "/api/create", "adds models and reads files to make them from"),
    never("api_copy", "/api/copy", "replaces models under names that others use"),
    never("api_delete", "/api/delete", "removes models"),
    never("api_blobs", "/api/blobs/", "stores files of the peer's choice"),
    never("api_me", "/api/me", "shows who is signed in on this machine"),
    never("api_signout", "/api/signout", "signs this machine's owner out"),
    never("api_user_keys", "/api/user/keys/", "removes this machine's keys"),
    never("api_status", "/api/status", "shows how this machine's Ollama is set up"),
    never(
        "api_codex",
        "/api/codex/",
        "sends prompts to OpenAI and shows which models this machine's owner used",
    ),
    never(
        "api_experimental",
        "/api/experimental/",
        "uses the owner's account or renames models, and changes with each version",
    ),
];

impl Management {
    pub(super) fn at(path: &str) -> Option<&'static Management> {
        MANAGEMENT.iter().find(|m| match m.path.strip_suffix('/') {
            Some(folder) => {
                path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            None => path == m.path,
        })
    }
}
