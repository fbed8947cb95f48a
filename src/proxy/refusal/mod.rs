//! The proxy's own answers to requests that Ollama does not get or does not answer.

pub(crate) mod failure;
