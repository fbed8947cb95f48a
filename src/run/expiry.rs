//! Reminds the operator that the node's key expires.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::control::ControlTask;
use crate::events::{Events, KeyExpires, Occurrence};
use crate::settings::Settings;
use crate::tailnet::NodeStatus;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before the expiry the reminders begin.
const AHEAD: Duration = DAY.saturating_mul(14);

/// How often the clock is checked.
const INTERVAL: Duration = Duration::from_secs(60);

/// Logs a reminder once a day in the last two weeks before the key in `node` expires, and raises an event then and when it
/// has expired.
pub(super) async fn remind_of_expiry(
    settings: Arc<Settings>,
    mut node: watch::Receiver<NodeStatus>,
    events: Events,
) {
    let mut expiry = Expiry::default();
    loop {
        expiry.set(node.borrow_and_update().key_expiry.as_deref());
        let due = expiry.due(SystemTime::now());
        if let Some(at) = due.as_ref().and(expiry.at).and_then(|at| Timestamp::try_from(at).ok()) {
            events.raise(Occurrence::KeyExpires(KeyExpires { expires: at }));
        }
        if let Some(Due::ExpiresIn(left)) = due {
            let left = crate::time::format_duration(Duration::from_secs(left.as_secs() / 60 * 60));
            let way_out = ControlTask::DisableExpiry.at(settings.config().node.control_url.as_deref());
            tracing::warn!(
                %left,
                "the node's key expires soon, and then peers can't reach the node: {way_out}, or log the node in again once its key has expired"
            );
        }
        tokio::select! {
            () = sleep(INTERVAL) => {}
            changed = node.changed() => if changed.is_err() { return },
        }
    }
}

/// When the key expires, and when the last reminder was.
#[derive(Debug, Default)]
struct Expiry {
    at: Option<SystemTime>,
    reminded: Option<SystemTime>,
    told_expired: bool,
}

/// What the operator is to be told.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// The key expires in this time.
    ExpiresIn(Duration),
    /// The key has expired.
    Expired,
}

impl Expiry {
    /// `at` is RFC 3339; `None`: the key does not expire.
    fn set(&mut self, at: Option<&str>) {
        let at = at.and_then(|at| crate::time::parse_rfc3339(at).ok());
        if self.at != at {
            *self = Expiry { at, ..Expiry::default() };
        }
    }

    /// The reminder that is due, if any.
    fn due(&mut self, now: SystemTime) -> Option<Due> {
        let Ok(left) = self.at?.duration_since(now) else {
            let is_new = !std::mem::replace(&mut self.told_expired, true);
            return is_new.then_some(Due::Expired);
        };
        // After the clock was set back (an error here), remind at once.
        let today = self.reminded.and_then(|at| now.duration_since(at).ok()).is_some_and(|ago| ago < DAY);
        if left > AHEAD || today {
            return None;
        }
        self.reminded = Some(now);
        Some(Due::ExpiresIn(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminder_is_due_once_a_day_in_the_last_two_weeks() {
        let at = crate::time::parse_rfc3339("2030-03-15T12:00:00Z").unwrap();
        let mut expiry = Expiry::default();
        assert_eq!(expiry.due(at - DAY), None);
        expiry.set(Some("2030-03-15T12:00:00Z"));
        let hour = Duration::from_secs(3600);
        assert_eq!(expiry.due(at - 14 * DAY - hour), None);
        assert_eq!(expiry.due(at - 14 * DAY), Some(Due::ExpiresIn(14 * DAY)));
        assert_eq!(expiry.due(at - 14 * DAY + hour), None);
        expiry.set(Some("2030-03-15T12:00:00Z"));
        assert_eq!(expiry.due(at - 14 * DAY + 23 * hour), None);
        assert_eq!(expiry.due(at - 13 * DAY), Some(Due::ExpiresIn(13 * DAY)));
        assert_eq!(expiry.due(at - 14 * DAY), Some(Due::ExpiresIn(14 * DAY)), "the clock was set back");
        assert_eq!(expiry.due(at), Some(Due::ExpiresIn(Duration::ZERO)));
        assert_eq!(expiry.due(at + hour), Some(Due::Expired));
        assert_eq!(
            expiry.due(at + 2 * hour),
            None,
            "an expired key is told once; the log has it from elsewhere"
        );
        expiry.set(None);
        assert_eq!(expiry.due(at - DAY), None);
        expiry.set(Some("2030-03-15T12:00:00.123456789Z"));
        assert!(expiry.due(at - DAY).is_some());
    }
}
