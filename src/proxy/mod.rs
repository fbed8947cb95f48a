//! The boundary: HTTP/1.1 from a peer, the policy's decision, and what is allowed on to Ollama.

mod body;
mod exchange;
mod forward;
pub mod headers;
mod live;
mod refuse;
mod serve;
mod upload;
mod wire;

pub use live::{Live, Running, Session};
pub use serve::{Drained, Proxy};
