//! Requests for Ollama: decided upon and forwarded.

pub(crate) mod cloud;
pub(crate) mod forward;
pub(crate) mod model_check;
pub(crate) mod origins;
pub(crate) mod proxy;
