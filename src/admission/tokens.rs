//! Tokens per day. A day begins at midnight, UTC.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::busy::Busy;

const DAY: u64 = 24 * 60 * 60;

/// What each identity has spent today. Kept in memory only, until the day or the process ends.
#[derive(Default)]
pub(super) struct SpentTokens {
    /// Today, in days since 1970.
    day: u64,
    tokens: HashMap<String, u64>,
}

impl SpentTokens {
    /// Whether `identity` has at `now` any of its `limit` tokens left.
    pub(super) fn check(&mut self, identity: &str, limit: u64, now: SystemTime) -> Result<(), Busy> {
        let since_1970 = self.update_day(now);
        if self.tokens.get(identity).is_none_or(|spent| *spent < limit) {
            return Ok(());
        }
        let ends = Duration::from_secs((self.day + 1) * DAY);
        Err(Busy::Tokens { limit, wait: ends.saturating_sub(since_1970) })
    }

    /// Adds tokens that `identity` has spent at `now`.
    pub(super) fn spend(&mut self, identity: &str, tokens: u64, now: SystemTime) {
        self.update_day(now);
        let spent = self.tokens.entry(identity.to_owned()).or_default();
        *spent = spent.saturating_add(tokens);
    }

    /// Begins a new day if `now` is in one, and returns the time since 1970. A clock that is set back begins none.
    fn update_day(&mut self, now: SystemTime) -> Duration {
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let day = since_1970.as_secs() / DAY;
        if day > self.day {
            *self = SpentTokens { day, tokens: HashMap::new() };
        }
        since_1970
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> SystemTime {
        crate::time::parse_rfc3339(time).unwrap()
    }

    #[test]
    fn daily_tokens_end_and_return_at_midnight_utc() {
        let mut spent = SpentTokens::default();
        let (noon, late) = (at("2026-11-24T12:00:00Z"), at("2026-11-24T23:59:59.5Z"));
        assert_eq!(spent.check("a", 10, noon), Ok(()));
        spent.spend("a", 9, noon);
        assert_eq!(spent.check("a", 10, noon), Ok(()), "one is left, however many it takes");
        spent.spend("a", u64::MAX, noon);
        let wait = Duration::from_secs(12 * 60 * 60);
        assert_eq!(spent.check("a", 10, noon), Err(Busy::Tokens { limit: 10, wait }));
        let wait = Duration::from_millis(500);
        assert_eq!(spent.check("a", 10, late), Err(Busy::Tokens { limit: 10, wait }));
        assert_eq!(spent.check("b", 10, late), Ok(()));
        assert_eq!(spent.check("a", 10, at("2026-11-25T00:00:00Z")), Ok(()));
        // A clock that is set back gives no tokens back.
        spent.spend("a", 10, at("2026-11-25T00:00:00Z"));
        assert!(spent.check("a", 10, noon).is_err());
    }
}
