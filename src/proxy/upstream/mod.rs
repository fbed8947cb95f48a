//! Ollama's side of a request: connections to Ollama, their pool, the body that goes up and the answer that comes down.
//!
//! A connection to Ollama belongs to one client connection and is driven by the task of that client. So an answer can't be
//! paired with another client's request, and closing one connection closes the other.

pub(crate) mod answer;
pub(crate) mod conn;
pub(crate) mod driver;
pub(crate) mod exchange;
pub(crate) mod pool;
pub(crate) mod reply;
pub(crate) mod upload;
