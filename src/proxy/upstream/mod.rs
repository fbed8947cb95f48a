//! Ollama's side: connections, their pool, and what goes over them.

pub(crate) mod conn;
pub(crate) mod pool;
pub(crate) mod upload;
