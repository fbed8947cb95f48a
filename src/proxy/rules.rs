//! All that the config decides about what goes through. A change holds from the next request on, or,
//! for how long a client may be silent, from the next connection on.

use std::sync::Arc;

use crate::admission::{Limits, Pace};
use crate::ollama::Upstream;
use crate::policy::{AccessMode, Policy};

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What may be asked.
    pub policy: Policy,
    /// What a peer without a grant may do.
    pub access: AccessMode,
    /// How much is let in.
    pub limits: Limits,
    /// How long clients may be silent.
    pub pace: Pace,
    /// Whether tokens are counted, by what answers say of them.
    pub usage: bool,
    /// Ollama.
    pub upstream: Arc<Upstream>,
}
