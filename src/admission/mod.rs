//! How much one identity may ask at once and per minute, as its grants say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Grant;

/// The window of `requests_per_minute`.
const MINUTE: Duration = Duration::from_secs(60);

/// Counts the requests of each identity. Clones count together.
#[derive(Clone, Default)]
pub struct Admission {
    identities: Arc<Mutex<HashMap<String, Counts>>>,
}

#[derive(Default)]
struct Counts {
    running: u32,
    /// When the identity may begin its next request at the earliest, were they evenly spread; it may
    /// run ahead of that by one minute's worth (the generic cell rate algorithm).
    due: Option<Instant>,
}

/// Why a request may not begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// As many requests run as may run at once.
    #[error("the tailnet policy grants you {0} requests at once, and they are running")]
    Concurrent(u32),
    /// As many requests were begun as may be begun in a minute.
    #[error("the tailnet policy grants you {limit} requests per minute")]
    Rate {
        /// Requests per minute.
        limit: u32,
        /// Until the next may begin.
        wait: Duration,
    },
}

/// Leave to run one request; it counts as running until this is dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Admission,
    identity: String,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}

impl Admission {
    /// Lets a request of `identity` begin, within the limits of its grant.
    ///
    /// # Errors
    /// See [`Busy`]; a request that is not let in counts for nothing.
    pub fn admit(&self, identity: &str, grant: &Grant) -> Result<Slot, Busy> {
        let now = Instant::now();
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = identities.entry(identity.to_owned()).or_default();
        if let Some(limit) = grant.max_concurrent.filter(|max| counts.running >= *max) {
            return Err(Busy::Concurrent(limit));
        }
        if let Some(limit) = grant.requests_per_minute {
            let interval = MINUTE / limit;
            let due = counts.due.map_or(now, |due| due.max(now));
            let wait = (due + interval).saturating_duration_since(now + MINUTE);
            if !wait.is_zero() {
                return Err(Busy::Rate { limit, wait });
            }
            counts.due = Some(due + interval);
        }
        counts.running += 1;
        Ok(Slot { admission: self.clone(), identity: identity.to_owned() })
    }

    /// The number of requests of `identity` that run now.
    pub fn running(&self, identity: &str) -> u32 {
        let identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        identities.get(identity).map_or(0, |counts| counts.running)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut identities = self.admission.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(counts) = identities.get_mut(&self.identity) {
            counts.running -= 1;
            if counts.running == 0 && counts.due.is_none_or(|due| due <= now) {
                identities.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_no_more() {
        let admission = Admission::default();
        let grant = Grant { max_concurrent: Some(2), ..Grant::EVERYTHING };
        let first = admission.admit("a", &grant).unwrap();
        let _second = admission.admit("a", &grant).unwrap();
        assert_eq!(admission.admit("a", &grant).unwrap_err(), Busy::Concurrent(2));
        assert!(admission.admit("b", &grant).is_ok());
        drop(first);
        assert!(admission.admit("a", &grant).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_in_a_minute_and_no_more() {
        let admission = Admission::default();
        let grant = Grant { requests_per_minute: Some(6), ..Grant::EVERYTHING };
        for _ in 0..6 {
            admission.admit("a", &grant).unwrap();
        }
        let busy = Busy::Rate { limit: 6, wait: Duration::from_secs(10) };
        assert_eq!(admission.admit("a", &grant).unwrap_err(), busy);
        tokio::time::advance(Duration::from_secs(10)).await;
        admission.admit("a", &grant).unwrap();
        assert!(admission.admit("a", &grant).is_err());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..20).filter(|_| admission.admit("a", &grant).is_ok()).count(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_who_is_gone() {
        let admission = Admission::default();
        drop(admission.admit("a", &Grant::EVERYTHING).unwrap());
        assert!(admission.identities.lock().unwrap().is_empty());
    }
}
