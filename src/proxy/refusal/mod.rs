//! Refusals: the answers that the proxy gives itself, in place of Ollama's.

pub(crate) mod answer;
pub(crate) mod failure;
