//! What each identity has spent of its quotas in the current day, week and month.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::busy::Busy;
use super::calendar;
use super::quota_state::QuotaState;
use crate::policy::{Quota, QuotaUnit, Quotas, Window};

/// How many identities are counted. Beyond that, the one that has spent the least is forgotten.
pub(super) const IDENTITIES_MAX: usize = 10_000;

/// The counts of every identity that has spent something under a quota.
pub(super) struct SpentQuotas {
    /// The latest day seen, in UTC. It never goes back, so a clock that is set back gives nothing back.
    day: Date,
    identities: HashMap<String, Spent>,
    /// Changes with every count.
    changes: watch::Sender<u64>,
}

/// What one identity has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Spent {
    pub(super) tokens: Count,
    pub(super) requests: Count,
}

/// What was spent in each window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Count {
    pub(super) month: u64,
    pub(super) week: u64,
    pub(super) day: u64,
}

impl Default for SpentQuotas {
    fn default() -> Self {
        SpentQuotas { day: Date::MIN, identities: HashMap::new(), changes: watch::Sender::new(0) }
    }
}

impl SpentQuotas {
    /// Whether something is left of each of `quotas`; those of tokens only for a request that `computes`.
    ///
    /// # Errors
    /// The spent quota whose window ends last.
    pub(super) fn check(
        &mut self,
        identity: &str,
        quotas: &Quotas,
        computes: bool,
        now: SystemTime,
    ) -> Result<(), Busy> {
        let applies = |state: &QuotaState| computes || state.quota.unit == QuotaUnit::Requests;
        let states = self.states(identity, quotas, now).into_iter().filter(applies);
        match states.filter(|state| state.remaining() == 0).max_by_key(|state| state.ends) {
            Some(state) => {
                let wait = state.ends.duration_since(now).unwrap_or(Duration::ZERO);
                Err(Busy::Quota { state, wait })
            }
            None => Ok(()),
        }
    }

    /// Each of `quotas` that has a limit, with what `identity` has spent at `now`.
    pub(super) fn states(&mut self, identity: &str, quotas: &Quotas, now: SystemTime) -> Vec<QuotaState> {
        self.advance(now);
        let spent = self.identities.get(identity).copied().unwrap_or_default();
        let state = |(quota, limit): (Quota, u64)| QuotaState {
            quota,
            limit,
            spent: spent.of(quota),
            ends: calendar::end(quota.window, self.day),
        };
        quotas.limited().map(state).collect()
    }

    /// Counts what `identity` has spent at `now`.
    pub(super) fn spend(&mut self, identity: &str, unit: QuotaUnit, amount: u64, now: SystemTime) {
        self.advance(now);
        let mut spent = self.identities.get(identity).copied().unwrap_or_default();
        spent.of_unit(unit).add(amount);
        self.insert(identity, spent);
        self.trim();
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Takes over what was spent by `day`, in addition to what is known. Where both know an identity, the larger count holds.
    /// To be followed by [`SpentQuotas::trim`].
    pub(super) fn restore(&mut self, identity: &str, day: Date, mut spent: Spent) {
        self.advance_to(day);
        spent.advance(day, self.day);
        let known = self.identities.get(identity).copied().unwrap_or_default();
        self.insert(identity, spent.max_of_each(known));
    }

    /// The latest day seen.
    pub(super) fn day(&self) -> Date {
        self.day
    }

    /// The latest day seen, and a copy of every identity's counts, in no order.
    pub(super) fn snapshot(&self) -> (Date, Vec<(String, Spent)>) {
        let counts = self.identities.iter().map(|(identity, spent)| (identity.clone(), *spent));
        (self.day, counts.collect())
    }

    /// A number that changes with every count.
    pub(super) fn change(&self) -> u64 {
        *self.changes.borrow()
    }

    /// A receiver of that number.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn advance(&mut self, now: SystemTime) {
        self.advance_to(calendar::day(now));
    }

    fn advance_to(&mut self, day: Date) {
        if day > self.day {
            let from = std::mem::replace(&mut self.day, day);
            self.identities.retain(|_, spent| {
                spent.advance(from, day);
                *spent != Spent::default()
            });
        }
    }

    fn insert(&mut self, identity: &str, spent: Spent) {
        match self.identities.get_mut(identity) {
            Some(known) => *known = spent,
            None if spent == Spent::default() => {}
            None => drop(self.identities.insert(identity.to_owned(), spent)),
        }
    }

    /// Forgets the identities that have spent the least, if there are too many.
    pub(super) fn trim(&mut self) {
        let excess = self.identities.len().saturating_sub(IDENTITIES_MAX);
        if excess == 0 {
            return;
        }
        let mut by_spent: Vec<_> =
            self.identities.iter().map(|(identity, spent)| (*spent, identity)).collect();
        by_spent.select_nth_unstable(excess);
        let least: Vec<_> = by_spent.into_iter().take(excess).map(|(_, identity)| identity.clone()).collect();
        for identity in least {
            self.identities.remove(&identity);
        }
    }
}

impl Spent {
    fn of(&self, quota: Quota) -> u64 {
        let count = match quota.unit {
            QuotaUnit::Requests => self.requests,
            QuotaUnit::Tokens => self.tokens,
        };
        match quota.window {
            Window::Day => count.day,
            Window::Week => count.week,
            Window::Month => count.month,
        }
    }

    fn of_unit(&mut self, unit: QuotaUnit) -> &mut Count {
        match unit {
            QuotaUnit::Requests => &mut self.requests,
            QuotaUnit::Tokens => &mut self.tokens,
        }
    }

    /// Sets the counts of the windows to 0 that contain `from`, but not the later day `to`.
    fn advance(&mut self, from: Date, to: Date) {
        let has_ended = |window| calendar::start(window, from) != calendar::start(window, to);
        for count in [&mut self.tokens, &mut self.requests] {
            if has_ended(Window::Day) {
                count.day = 0;
            }
            if has_ended(Window::Week) {
                count.week = 0;
            }
            if has_ended(Window::Month) {
                count.month = 0;
            }
        }
    }

    fn max_of_each(self, other: Spent) -> Spent {
        let max = |a: Count, b: Count| Count {
            month: a.month.max(b.month),
            week: a.week.max(b.week),
            day: a.day.max(b.day),
        };
        Spent { tokens: max(self.tokens, other.tokens), requests: max(self.requests, other.requests) }
    }
}

impl Count {
    fn add(&mut self, amount: u64) {
        for count in [&mut self.month, &mut self.week, &mut self.day] {
            *count = count.saturating_add(amount);
        }
    }
}

#[cfg(test)]
mod tests;
