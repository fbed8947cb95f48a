//! Tokens per day: so many spent within a day in UTC, and then nothing more until the next.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Busy;

const DAY: u64 = 24 * 60 * 60;

/// What each identity has spent of a day. It is forgotten when the day ends, and when the process does.
#[derive(Default)]
pub(super) struct Spent {
    /// In days since 1970.
    day: u64,
    tokens: HashMap<String, u64>,
}

impl Spent {
    /// Whether `identity`, which may spend `limit` tokens a day, has any left at `now`.
    pub(super) fn check(&mut self, identity: &str, limit: u64, now: SystemTime) -> Result<(), Busy> {
        let since = self.turn(now);
        if self.tokens.get(identity).is_none_or(|spent| *spent < limit) {
            return Ok(());
        }
        let ends = Duration::from_secs((self.day + 1) * DAY);
        Err(Busy::Tokens { limit, wait: ends.saturating_sub(since) })
    }

    /// `identity` has spent so many at `now`.
    pub(super) fn spend(&mut self, identity: &str, tokens: u64, now: SystemTime) {
        self.turn(now);
        let spent = self.tokens.entry(identity.to_owned()).or_default();
        *spent = spent.saturating_add(tokens);
    }

    /// Begins a new day, if it is one. A clock that is put back begins none. How long it is since 1970.
    fn turn(&mut self, now: SystemTime) -> Duration {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let day = since.as_secs() / DAY;
        if day > self.day {
            *self = Spent { day, tokens: HashMap::new() };
        }
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> SystemTime {
        humantime::parse_rfc3339(time).unwrap()
    }

    #[test]
    fn a_day_has_so_many_and_ends_at_midnight() {
        let mut spent = Spent::default();
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
        // A clock that is put back gives nothing back.
        spent.spend("a", 10, at("2026-11-25T00:00:00Z"));
        assert!(spent.check("a", 10, noon).is_err());
    }
}
