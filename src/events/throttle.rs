//! Holds back repetitions, so that something that flaps does not run the command again and again.
//!
//! For each kind of event about the same thing the command is run at most once in [`QUIET`]. A further one is held until
//! then, and only the latest is kept. If its opposite comes first, both are left out: what the operator was told last is
//! true again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Event, EventKind};

/// The shortest time between two runs for the same kind of event about the same thing.
pub(super) const QUIET: Duration = Duration::from_secs(10 * 60);

/// What was told lately, and what is held.
#[derive(Default)]
pub(super) struct Throttle(HashMap<String, Subject>);

/// One thing that events are about.
#[derive(Default)]
struct Subject {
    /// When each kind was last told.
    told: HashMap<EventKind, Instant>,
    /// The kind that was told last.
    last: Option<EventKind>,
    held: Option<Held>,
    /// How many events were held back since the last one that was told.
    coalesced: u64,
}

struct Held {
    event: Event,
    due: Instant,
}

impl Throttle {
    /// Takes an event at `now`, and returns it if the command is to be run for it at once.
    pub(super) fn offer(&mut self, event: Event, now: Instant) -> Option<Event> {
        self.0.retain(|_, subject| subject.matters(now));
        self.0.entry(event.occurrence.subject()).or_default().offer(event, now)
    }

    /// The held events that are due at `now`, the oldest first.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Event> {
        let mut due: Vec<_> = self.0.values_mut().filter_map(|subject| subject.take_due(now)).collect();
        due.sort_by_key(|event| event.time);
        due
    }

    /// When the next held event is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().filter_map(|subject| subject.held.as_ref()).map(|held| held.due).min()
    }
}

impl Subject {
    fn offer(&mut self, event: Event, now: Instant) -> Option<Event> {
        let kind = event.occurrence.kind();
        let held = self.held.take();
        self.coalesced += u64::from(held.is_some());
        let has_state = kind.opposite().is_some();
        if has_state && self.last == Some(kind) && self.is_recent(now) {
            // The state is the one that was told last.
            self.coalesced += 1;
            return None;
        }
        match self.told.get(&kind).map(|told| *told + QUIET) {
            Some(due) if now < due => {
                self.held = Some(Held { event, due });
                None
            }
            _ => Some(self.tell(event, now)),
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<Event> {
        let held = self.held.take_if(|held| held.due <= now)?;
        Some(self.tell(held.event, now))
    }

    fn tell(&mut self, event: Event, now: Instant) -> Event {
        let kind = event.occurrence.kind();
        self.told.insert(kind, now);
        self.last = Some(kind);
        Event { coalesced: std::mem::take(&mut self.coalesced), ..event }
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.told.values().any(|told| now < *told + QUIET)
    }

    /// Whether it can still hold anything back.
    fn matters(&self, now: Instant) -> bool {
        self.held.is_some() || self.is_recent(now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{LogLost, Occurrence, OllamaDown, OllamaUp};
    use super::*;

    fn down() -> Event {
        Event::now(Occurrence::OllamaDown(OllamaDown { upstream: String::new(), error: String::new() }))
    }

    fn back() -> Event {
        Event::now(Occurrence::OllamaBack(OllamaUp { upstream: String::new() }))
    }

    fn lost(lost: u64) -> Event {
        let log = LogLost { log: "access".to_owned(), to: String::new(), lost, error: None };
        Event::now(Occurrence::LogLost(log))
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn told(event: Option<Event>) -> Option<(EventKind, u64)> {
        event.map(|event| (event.occurrence.kind(), event.coalesced))
    }

    #[test]
    fn first_change_and_its_first_opposite_are_told_at_once() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(told(throttle.offer(down(), now)), Some((EventKind::OllamaDown, 0)));
        assert_eq!(told(throttle.offer(back(), now + MINUTE)), Some((EventKind::OllamaBack, 0)));
        assert_eq!(throttle.next_due(), None);
    }

    #[test]
    fn flapping_is_told_again_only_if_the_state_differs_after_the_quiet_time() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.offer(down(), now);
        throttle.offer(back(), now + MINUTE);
        for minute in [2, 4, 6] {
            assert_eq!(told(throttle.offer(down(), now + minute * MINUTE)), None);
            assert_eq!(throttle.next_due(), Some(now + QUIET));
            assert_eq!(told(throttle.offer(back(), now + (minute + 1) * MINUTE)), None);
            assert_eq!(throttle.next_due(), None, "the state is the one that was told");
        }
        assert_eq!(told(throttle.offer(down(), now + 8 * MINUTE)), None);
        assert!(throttle.due(now + 9 * MINUTE).is_empty());
        let due = throttle.due(now + QUIET).pop();
        assert_eq!(told(due), Some((EventKind::OllamaDown, 6)));
        assert_eq!(throttle.next_due(), None);
    }

    #[test]
    fn repetition_without_a_state_is_told_once_more_with_the_latest_values() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(told(throttle.offer(lost(1), now)), Some((EventKind::LogLost, 0)));
        for n in 2..10 {
            assert_eq!(throttle.offer(lost(n), now + MINUTE), None);
        }
        let due = throttle.due(now + QUIET);
        let [Event { occurrence: Occurrence::LogLost(LogLost { lost: 9, .. }), coalesced: 7, .. }] = &due[..]
        else {
            panic!("{due:?}")
        };
    }

    #[test]
    fn nothing_is_kept_after_the_quiet_time() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.offer(lost(1), now);
        throttle.offer(down(), now + QUIET);
        assert_eq!(throttle.0.len(), 1);
        assert_eq!(told(throttle.offer(down(), now + 2 * QUIET)), Some((EventKind::OllamaDown, 0)));
    }
}
