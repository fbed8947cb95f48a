//! The token counts of one answer.

/// The token counts that an answer reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the prompt; of an embedding, all.
    pub input: Option<u64>,
    /// Tokens that the model has written.
    pub output: Option<u64>,
}

impl Tokens {
    /// What the access log has if an answer reports neither.
    pub const UNTOLD: &str = "untold";
}
