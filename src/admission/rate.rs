//! Requests per minute: a sliding window of 60 seconds.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::busy::Busy;

const MINUTE: Duration = Duration::from_secs(60);

/// When the requests of each limited identity started, within the last minute.
#[derive(Default)]
pub(super) struct Rates {
    starts: HashMap<String, VecDeque<Instant>>,
    last_cleanup: Option<Instant>,
}

impl Rates {
    /// Counts a request, unless `limit` requests have started within the last minute.
    pub(super) fn start(&mut self, identity: &str, limit: u32, now: Instant) -> Result<(), Busy> {
        self.forget_idle(now);
        let starts = self.starts.entry(identity.to_owned()).or_default();
        while starts.front().is_some_and(|first| now.duration_since(*first) >= MINUTE) {
            starts.pop_front();
        }
        if starts.len() >= limit as usize {
            // The limit may have become smaller: then more than one of them has to expire.
            let expires = starts.get(starts.len() - limit as usize).copied().unwrap_or(now);
            return Err(Busy::Rate { limit, wait: (expires + MINUTE).duration_since(now) });
        }
        starts.push_back(now);
        Ok(())
    }

    /// Once a minute, forgets identities without a request in the last minute.
    fn forget_idle(&mut self, now: Instant) {
        if self.last_cleanup.is_none_or(|last| now.duration_since(last) >= MINUTE) {
            self.last_cleanup = Some(now);
            self.starts.retain(|_, all| all.back().is_some_and(|last| now.duration_since(*last) < MINUTE));
        }
    }
}
