//! Requests per minute, by the generic cell rate algorithm: one minute's worth may come at once, and
//! then one each time a share of the minute has passed.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Busy;

const MINUTE: Duration = Duration::from_secs(60);

/// For each identity, when its next request would be due if all were evenly spread.
#[derive(Default)]
pub(super) struct Rates(HashMap<String, Instant>);

impl Rates {
    /// Counts a request, unless it comes too early.
    pub(super) fn begin(&mut self, identity: &str, limit: u32, now: Instant) -> Result<(), Busy> {
        let interval = MINUTE / limit.max(1);
        let due = self.0.get(identity).map_or(now, |due| (*due).max(now)) + interval;
        let wait = due.saturating_duration_since(now + MINUTE);
        if !wait.is_zero() {
            return Err(Busy::Rate { limit, wait });
        }
        self.0.insert(identity.to_owned(), due);
        Ok(())
    }

    /// Keeps nothing of an identity whose past requests make no difference any more.
    pub(super) fn forget_idle(&mut self, identity: &str, now: Instant) {
        if self.0.get(identity).is_some_and(|due| *due <= now) {
            self.0.remove(identity);
        }
    }
}
