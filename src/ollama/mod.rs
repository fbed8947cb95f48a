//! Ollama as this program sees it: its address on this machine, connections to it, and a client of its API.

pub(crate) mod http;
mod status;
mod upstream;

pub use status::{Model, Ollama, cloud_is_off, version};
pub use upstream::{Stream, Upstream, UpstreamFault};
