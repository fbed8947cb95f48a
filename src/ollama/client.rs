//! The client of Ollama's API, for what the proxy itself has to know. Requests of peers do not go through it.
//!
//! Source for endpoints and fields: Ollama's docs/api.md and api/types.go.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::error::{OllamaError, OllamaFailure};
use super::one_shot;
use super::upstream::Upstream;

/// The usual time limit. Ollama runs on this machine, and loads no model for these requests.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Asks one Ollama. All requests of a client together have one time limit, which starts when the client is made.
pub struct OllamaClient<'a> {
    upstream: &'a Upstream,
    time_limit: Duration,
    deadline: Instant,
}

/// A model in memory, as `/api/ps` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedModel {
    /// Its name.
    pub name: String,
    /// Bytes of memory.
    #[serde(default)]
    pub size: u64,
    /// The part of `size` on a GPU.
    #[serde(default)]
    pub size_vram: u64,
    /// When Ollama unloads it unless a request uses it again, as RFC 3339.
    #[serde(default)]
    pub expires_at: String,
}

/// A model that Ollama can run, as `/api/tags` lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct InstalledModel {
    /// Its name, as a request has it.
    pub model: String,
    /// Over all that the model is made of.
    pub digest: String,
    /// Where it runs.
    #[serde(flatten)]
    pub origin: ModelOrigin,
}

/// Where a model runs, as `/api/tags` and `/api/show` say it.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelOrigin {
    #[serde(default)]
    remote_host: String,
    #[serde(default)]
    remote_model: String,
}

/// What `/api/show` says about a model.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelDetails {
    /// Where it runs.
    #[serde(flatten)]
    pub origin: ModelOrigin,
    /// What it can do, such as `completion` and `embedding`. Absent in old versions of Ollama.
    #[serde(default)]
    capabilities: Vec<String>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Models<T> {
    models: Vec<T>,
}

#[derive(Deserialize)]
struct ServerStatus {
    cloud: Option<CloudStatus>,
}

#[derive(Deserialize)]
struct CloudStatus {
    disabled: bool,
}

impl ModelOrigin {
    /// Whether another machine runs the model.
    pub fn is_remote(&self) -> bool {
        !self.remote_host.is_empty() || !self.remote_model.is_empty()
    }
}

impl ModelDetails {
    fn can(&self, what: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == what)
    }

    fn only_embeds(&self) -> bool {
        self.can("embedding") && !self.can("completion")
    }

    /// Whether the model answers prompts, unlike one that only makes embeddings. Versions of Ollama that list no
    /// capabilities are taken at yes.
    pub fn answers_prompts(&self) -> bool {
        self.capabilities.is_empty() || self.can("completion")
    }
}

/// Each call fails with the [`OllamaError`] of the first thing that went wrong.
impl<'a> OllamaClient<'a> {
    /// A client with a time limit of 2 s.
    pub fn new(upstream: &'a Upstream) -> Self {
        OllamaClient::with_time_limit(upstream, TIME_LIMIT)
    }

    /// A client with another time limit.
    pub fn with_time_limit(upstream: &'a Upstream, time_limit: Duration) -> Self {
        OllamaClient { upstream, time_limit, deadline: Instant::now() + time_limit }
    }

    /// Ollama's version.
    pub async fn version(&self) -> Result<String, OllamaError> {
        Ok(self.get::<Version>("/api/version").await?.version)
    }

    /// The models in memory.
    pub async fn loaded_models(&self) -> Result<Vec<LoadedModel>, OllamaError> {
        Ok(self.get::<Models<_>>("/api/ps").await?.models)
    }

    /// The models that Ollama can run.
    pub async fn installed_models(&self) -> Result<Vec<InstalledModel>, OllamaError> {
        Ok(self.get::<Models<_>>("/api/tags").await?.models)
    }

    /// The details of `model`.
    pub async fn show(&self, model: &str) -> Result<ModelDetails, OllamaError> {
        self.ask(Method::POST, "/api/show", json!({ "model": model }).to_string().into()).await
    }

    /// Loads `model` with an empty request, as Ollama's docs/api.md has it under "Load a model". `/api/generate` refuses a
    /// model that only embeds.
    pub async fn load(&self, model: &str, details: &ModelDetails) -> Result<(), OllamaError> {
        let target = if details.only_embeds() { "/api/embed" } else { "/api/generate" };
        let body = json!({ "model": model }).to_string().into();
        self.ask::<IgnoredAny>(Method::POST, target, body).await.map(|_| ())
    }

    /// Whether Ollama sends nothing to models in the cloud; `None`: this version does not say.
    pub async fn cloud_is_off(&self) -> Result<Option<bool>, OllamaError> {
        Ok(self.get::<ServerStatus>("/api/status").await?.cloud.map(|cloud| cloud.disabled))
    }

    async fn get<T: DeserializeOwned>(&self, target: &'static str) -> Result<T, OllamaError> {
        self.ask(Method::GET, target, Bytes::new()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &'static str,
        body: Bytes,
    ) -> Result<T, OllamaError> {
        let answer = tokio::time::timeout_at(self.deadline, self.send(method, target, body)).await;
        let answer = answer.unwrap_or(Err(OllamaFailure::TimeOut(self.time_limit)));
        let understood = answer.and_then(|answer| match answer.status() {
            StatusCode::OK => serde_json::from_slice(answer.body()).map_err(OllamaFailure::Body),
            status => Err(OllamaFailure::of_status(status, answer.body())),
        });
        understood.map_err(|failure| OllamaError { address: self.upstream.to_string(), target, failure })
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, OllamaFailure> {
        let stream = self.upstream.connect().await.map_err(OllamaFailure::Connect)?;
        let request = Request::builder().method(method).uri(target).header(HOST, self.upstream.host());
        let request = request.body(Full::new(body)).map_err(|error| OllamaFailure::Http(error.into()))?;
        one_shot::send(stream, request).await.map_err(OllamaFailure::Http)
    }
}
