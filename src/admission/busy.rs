//! The refusals of admission.

use std::time::Duration;

use super::quota_state::QuotaState;
use crate::time::format_rfc3339_seconds;

/// Why a request is refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// The identity's grant allows this many requests at once, and they are running or waiting.
    #[error(
        "the tailnet policy grants you {0} requests at once, all of them running or waiting; wait for one to end"
    )]
    Concurrent(u32),
    /// The identity has started as many requests as it may within a minute.
    #[error("you may start {limit} requests per minute; Retry-After says when the next may start")]
    Rate {
        /// Requests per minute.
        limit: u32,
        /// Until the next may start.
        wait: Duration,
    },
    /// The identity has spent one of its quotas.
    #[error(
        "your limit is {} {} ({}), and you have used {}; the next {} begins at {}",
        state.limit, state.quota, state.quota.key(), state.spent, state.quota.window.name(),
        format_rfc3339_seconds(state.ends)
    )]
    Quota {
        /// The quota.
        state: QuotaState,
        /// Until its window ends.
        wait: Duration,
    },
    /// The queue has no waiting slot left, or none for this identity.
    #[error("too many requests are waiting ({0} in all); try again soon")]
    Full(u32),
    /// The request has waited as long as it may.
    #[error("the request has waited {0:?} for a running slot; try again later")]
    Waited(Duration),
}
