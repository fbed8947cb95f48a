//! Ollama, as the rest of the program sees it: its address on this machine, connections to it, and a client of its API.

mod client;
mod error;
pub(crate) mod one_shot;
mod status;
mod stream;
mod upstream;

pub use client::{InstalledModel, LoadedModel, ModelOrigin, OllamaClient, ShownModel};
pub use error::{OllamaError, OllamaFailure};
pub use status::OllamaStatus;
pub use stream::OllamaStream;
pub use upstream::{Upstream, UpstreamFault};
