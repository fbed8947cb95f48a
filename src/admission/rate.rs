//! Requests per minute: so many begun within any sixty seconds, and no more.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Busy;

const MINUTE: Duration = Duration::from_secs(60);

/// For each identity that is limited, when its requests of the last minute began.
#[derive(Default)]
pub(super) struct Rates {
    begun: HashMap<String, VecDeque<Instant>>,
    /// When identities of the past were last forgotten.
    swept: Option<Instant>,
}

impl Rates {
    /// Counts a request, unless there are `limit` within the last minute already.
    pub(super) fn begin(&mut self, identity: &str, limit: u32, now: Instant) -> Result<(), Busy> {
        self.sweep(now);
        let begun = self.begun.entry(identity.to_owned()).or_default();
        while begun.front().is_some_and(|first| now.duration_since(*first) >= MINUTE) {
            begun.pop_front();
        }
        if begun.len() >= limit as usize {
            // A limit that has just become smaller leaves more than it behind.
            let frees = begun.get(begun.len() - limit as usize).copied().unwrap_or(now);
            return Err(Busy::Rate { limit, wait: (frees + MINUTE).duration_since(now) });
        }
        begun.push_back(now);
        Ok(())
    }

    /// Once a minute forgets whoever has begun nothing for a minute.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= MINUTE) {
            self.swept = Some(now);
            self.begun.retain(|_, begun| begun.back().is_some_and(|last| now.duration_since(*last) < MINUTE));
        }
    }
}
