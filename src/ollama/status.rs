//! What Ollama says of itself.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::http::{Fault, ask, in_time};
use super::upstream::Upstream;

/// How long Ollama may take, all in all. It is on this machine, and makes no model run for this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ollama as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ollama {
    /// Where it is.
    pub url: String,
    /// Its version, if it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The models that it has loaded.
    #[serde(default)]
    pub models: Vec<Model>,
    /// Why it does not answer, or not all of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A model that is loaded. Source: Ollama's docs/api.md, "List running models".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Bytes of memory.
    #[serde(default)]
    pub size: u64,
    /// Of them, those on a GPU.
    #[serde(default)]
    pub size_vram: u64,
    /// When it is unloaded unless it is asked again, as RFC 3339.
    #[serde(default)]
    pub expires_at: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Models {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Cloud {
    disabled: bool,
}

#[derive(Deserialize)]
struct Situation {
    cloud: Option<Cloud>,
}

/// Ollama's version.
///
/// # Errors
/// Why it does not answer.
pub async fn version(upstream: &Upstream) -> Result<String, String> {
    in_time(PATIENCE, async { Ok(get::<Version>(upstream, "/api/version").await?.version) }).await
}

/// Whether Ollama sends nothing to models in the cloud; `None` if it does not tell. Source: Ollama's
/// `GET /api/status`.
///
/// # Errors
/// Why it does not answer.
pub async fn cloud_is_off(upstream: &Upstream) -> Result<Option<bool>, String> {
    in_time(PATIENCE, async {
        Ok(get::<Situation>(upstream, "/api/status").await?.cloud.map(|c| c.disabled))
    })
    .await
}

impl Ollama {
    /// Asks for all of it.
    pub(crate) async fn ask(upstream: &Upstream) -> Ollama {
        let mut ollama = Ollama { url: upstream.to_string(), ..Ollama::default() };
        let asked = async {
            ollama.version = Some(get::<Version>(upstream, "/api/version").await?.version);
            ollama.models = get::<Models>(upstream, "/api/ps").await?.models;
            Ok(())
        };
        ollama.fault = in_time(PATIENCE, asked).await.err();
        ollama
    }

    /// Asks whether it is there.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn answers(upstream: &Upstream) -> Result<(), String> {
        in_time(PATIENCE, async { get::<Version>(upstream, "/api/version").await.map(|_| ()) }).await
    }
}

async fn get<T: DeserializeOwned>(upstream: &Upstream, target: &str) -> Result<T, Fault> {
    ask(upstream, Method::GET, target, Bytes::new()).await
}
