//! One quota of an identity.

use std::time::SystemTime;

use crate::policy::Quota;

/// One quota of an identity at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaState {
    /// The kind.
    pub quota: Quota,
    /// Its limit.
    pub limit: u64,
    /// What is spent of it. It can exceed the limit: requests that run may end.
    pub spent: u64,
    /// When the window ends, and the count starts again at 0.
    pub ends: SystemTime,
}

impl QuotaState {
    /// What is left.
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.spent)
    }
}
