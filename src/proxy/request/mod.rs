//! Requests at the Ollama port: each is decided, gets a running slot, and is forwarded.

pub(crate) mod decision;
pub(crate) mod forward;
pub(crate) mod listed_models;
pub(crate) mod local_models;
pub(crate) mod model_check;
pub(crate) mod named_model;
pub(crate) mod origins;
pub(crate) mod proxy;
pub(crate) mod serve;
