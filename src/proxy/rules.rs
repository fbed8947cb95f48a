//! The part of the config that decides which requests pass. A change applies from the next request on; new timeouts apply
//! from the next connection on.

use std::sync::Arc;

use crate::admission::{Limits, Timeouts};
use crate::ollama::Upstream;
use crate::policy::{AccessMode, Policy};

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What may be asked.
    pub policy: Policy,
    /// What a peer without a grant may do.
    pub access: AccessMode,
    /// How many connections and requests are admitted.
    pub limits: Limits,
    /// How long clients may be silent.
    pub timeouts: Timeouts,
    /// Whether tokens, as answers report them, and usage by model are counted.
    pub usage: bool,
    /// Ollama.
    pub upstream: Arc<Upstream>,
}
