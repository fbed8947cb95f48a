//! The boundary: HTTP/1.1 from a peer, the policy's decision, and what is allowed on to Ollama.

mod body;
mod exchange;
mod forward;
mod headers;
mod refuse;
mod serve;
mod wire;

pub use serve::{Drained, Proxy};
