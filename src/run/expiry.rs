//! When to say that the node's key expires.

use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before a key expires it is said the first time.
const AHEAD: Duration = DAY.saturating_mul(14);

/// Knows when the key expires and when that was said last.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    at: Option<SystemTime>,
    said: Option<SystemTime>,
}

impl Expiry {
    /// The tailnet says when the key expires, as RFC 3339; `None`: never.
    pub(super) fn set(&mut self, at: Option<&str>) {
        let at = at.and_then(|at| humantime::parse_rfc3339(at).ok());
        if self.at != at {
            *self = Expiry { at, said: None };
        }
    }

    /// How long the key is still good, if that is to be said now: in its last two weeks, once a day.
    pub(super) fn due(&mut self, now: SystemTime) -> Option<Duration> {
        let left = self.at?.duration_since(now).ok()?;
        // A clock that was set back must not put it off.
        let said = self.said.and_then(|said| now.duration_since(said).ok()).is_some_and(|ago| ago < DAY);
        if left > AHEAD || said {
            return None;
        }
        self.said = Some(now);
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_in_the_last_two_weeks_once_a_day() {
        let at = humantime::parse_rfc3339("2030-03-15T12:00:00Z").unwrap();
        let mut expiry = Expiry::default();
        assert_eq!(expiry.due(at - DAY), None);
        expiry.set(Some("2030-03-15T12:00:00Z"));
        let hour = Duration::from_secs(3600);
        assert_eq!(expiry.due(at - 14 * DAY - hour), None);
        assert_eq!(expiry.due(at - 14 * DAY), Some(14 * DAY));
        assert_eq!(expiry.due(at - 14 * DAY + hour), None);
        expiry.set(Some("2030-03-15T12:00:00Z"));
        assert_eq!(expiry.due(at - 14 * DAY + 23 * hour), None);
        assert_eq!(expiry.due(at - 13 * DAY), Some(13 * DAY));
        assert_eq!(expiry.due(at - 14 * DAY), Some(14 * DAY), "the clock was set back");
        assert_eq!(expiry.due(at + hour), None, "an expired one is another matter");
        expiry.set(None);
        assert_eq!(expiry.due(at - DAY), None);
        expiry.set(Some("2030-03-15T12:00:00.123456789Z"));
        assert!(expiry.due(at - DAY).is_some());
    }
}
