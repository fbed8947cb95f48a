//! The token counts of one answer.

use serde::{Deserialize, Serialize};

/// The token counts that an answer reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens of the prompt; of an embedding, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Tokens that the model has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
}
