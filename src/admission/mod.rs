//! Admission: whether a request starts now, waits in the queue, or is refused.
//!
//! Two kinds of limits apply: those that the tailnet policy grants an identity, and those of the node, which protect Ollama
//! from more than it can do at once.

mod busy;
mod calendar;
mod queue;
mod quota_file;
mod quota_keeper;
mod quota_state;
mod rate;
mod spent;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::policy::{Grant, QuotaUnit, Quotas};
pub use busy::Busy;
use queue::{Queue, WaitingSlot};
pub use quota_file::QuotaFile;
pub use quota_keeper::QuotaKeeper;
pub use quota_state::QuotaState;
use spent::SpentQuotas;

/// The node's limits. A grant can only narrow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Running slots, for requests that make Ollama compute. More requests wait.
    pub running: u32,
    /// Running slots of one identity.
    pub running_per_identity: u32,
    /// Waiting slots. More requests are refused.
    pub waiting: u32,
    /// How long a request may wait.
    pub wait: Duration,
    /// Requests of one identity started within any minute; `None`: unlimited.
    pub requests_per_minute: Option<u32>,
    /// Requests and tokens of one identity in a day, a week and a month.
    pub quotas: Quotas,
    /// Bytes of a request's body.
    pub max_body: u64,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one peer.
    pub connections_per_peer: usize,
}

impl Limits {
    /// No limits but those of grants.
    pub const NONE: Limits = Limits {
        running: u32::MAX,
        running_per_identity: u32::MAX,
        waiting: 0,
        wait: Duration::ZERO,
        requests_per_minute: None,
        quotas: Quotas::NONE,
        max_body: u64::MAX,
        connections: usize::MAX,
        connections_per_peer: usize::MAX,
    };
}

/// How long a client may keep silent. There is no limit on how long a request or an answer takes: a
/// generation may run for hours, as long as the client does its part, and Ollama may be silent for as
/// long as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request's head to its last; then 408.
    pub head: Duration,
    /// Between two bytes of a request's body that are waited for; then 408.
    pub body: Duration,
    /// Without taking a byte of an answer that is there to be sent; then the connection is cut.
    pub answer: Duration,
    /// Without a request; then the connection is closed.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Timeouts { head: seconds(10), body: seconds(30), answer: seconds(120), idle: seconds(120) }
    }
}

/// One identity has at most one in this many waiting slots, so that others find one.
const IDENTITIES_IN_QUEUE: u32 = 4;

/// Counts the requests of each identity. Clones share their counts.
#[derive(Clone, Default)]
pub struct Admission {
    state: Arc<Mutex<State>>,
    admitted: Arc<Notify>,
}

#[derive(Default)]
struct State {
    queue: Queue,
    rates: rate::Rates,
    spent: SpentQuotas,
}

/// A running slot of one request. Dropping it frees the slot.
pub struct RunningSlot {
    state: Arc<Mutex<State>>,
    identity: String,
    computes: bool,
}

impl Admission {
    /// Admits a request of `identity`: at once, or when it gets a running slot. A request that does not make Ollama compute
    /// never waits. Dropping the future frees its waiting slot. `limits` replace those of earlier calls, for all requests.
    ///
    /// # Errors
    /// See [`Busy`]. A request that is refused at once does not count.
    pub async fn admit(
        &self,
        limits: &Limits,
        identity: &str,
        grant: &Grant,
        computes: bool,
    ) -> Result<RunningSlot, Busy> {
        let state = &self.state;
        let running = || RunningSlot { state: Arc::clone(state), identity: identity.to_owned(), computes };
        let slot = state.lock().start_or_enqueue(limits, identity, grant, computes)?;
        self.admitted.notify_one();
        let Some(slot) = slot else { return Ok(running()) };
        let waiting = QueuedRequest { state, slot: Some(slot) };
        match tokio::time::timeout(limits.wait, waiting.started()).await {
            Ok(()) => Ok(running()),
            Err(_) => Err(Busy::Waited(limits.wait)),
        }
    }

    /// Waits until a running slot is free that no waiting request could take. It stays free: what the caller starts then
    /// holds no slot, so it can't make a request wait or be refused. `limits` replace those of earlier calls.
    pub async fn slot_is_free(&self, limits: &Limits) {
        let when_free = {
            let mut state = self.state.lock();
            state.queue.set_limits(limits.running, limits.running_per_identity);
            state.queue.when_slot_is_free()
        };
        let _ = when_free.await; // no error: the queue outlives this call
    }

    /// Replaces the limits on running requests. Higher limits start waiting requests.
    pub fn limit(&self, limits: &Limits) {
        self.state.lock().queue.set_limits(limits.running, limits.running_per_identity);
    }

    /// Waits until a request gets a running or waiting slot, or returns at once if one did since the last call. For one
    /// task only.
    pub async fn admitted(&self) {
        self.admitted.notified().await;
    }

    /// The number of running requests, and of waiting ones.
    pub fn load(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.queue.running(), state.queue.waiting())
    }

    /// Each of `quotas` that has a limit, with what `identity` has spent. Takes no lock if none has.
    pub fn quotas(&self, identity: &str, quotas: &Quotas) -> Vec<QuotaState> {
        if *quotas == Quotas::NONE {
            return Vec::new();
        }
        self.state.lock().spent.states(identity, quotas, SystemTime::now())
    }

    /// A receiver of a number that changes with whatever an identity spends of its quotas.
    pub fn spent_changes(&self) -> watch::Receiver<u64> {
        self.state.lock().spent.changes()
    }
}

impl State {
    /// Takes a running slot (`None`) or, if none is free, a waiting slot.
    fn start_or_enqueue(
        &mut self,
        limits: &Limits,
        identity: &str,
        grant: &Grant,
        computes: bool,
    ) -> Result<Option<WaitingSlot>, Busy> {
        self.queue.set_limits(limits.running, limits.running_per_identity);
        if let Some(limit) = grant.max_concurrent.filter(|max| self.queue.slots_of(identity) >= *max) {
            return Err(Busy::Concurrent(limit));
        }
        let quotas = limits.quotas.and(grant.quotas);
        self.check_quotas(identity, &quotas, computes)?;
        let must_wait = computes && !self.queue.has_free_slot(identity);
        let share = limits.waiting.div_ceil(IDENTITIES_IN_QUEUE);
        let waiting = self.queue.waiting();
        if must_wait && (waiting >= limits.waiting || self.queue.waiting_of(identity) >= share) {
            return Err(Busy::Full(waiting));
        }
        let rate = [grant.requests_per_minute, limits.requests_per_minute].into_iter().flatten().min();
        if let Some(limit) = rate {
            self.rates.start(identity, limit, Instant::now())?;
        }
        if quotas.limit(QuotaUnit::Requests) {
            self.spent.spend(identity, QuotaUnit::Requests, 1, SystemTime::now());
        }
        if must_wait {
            return Ok(Some(self.queue.enqueue(identity, grant.priority)));
        }
        self.queue.start(identity, computes);
        Ok(None)
    }

    fn check_quotas(&mut self, identity: &str, quotas: &Quotas, computes: bool) -> Result<(), Busy> {
        if *quotas == Quotas::NONE {
            return Ok(());
        }
        self.spent.check(identity, quotas, computes, SystemTime::now())
    }
}

/// A request with a waiting slot. Dropping it frees the slot, also if that has become a running slot meanwhile.
struct QueuedRequest<'a> {
    state: &'a Mutex<State>,
    slot: Option<WaitingSlot>,
}

impl QueuedRequest<'_> {
    /// Waits for a running slot, which is the caller's then.
    async fn started(mut self) {
        if let Some(slot) = &mut self.slot {
            slot.started().await;
        }
        self.slot = None;
    }
}

impl Drop for QueuedRequest<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.state.lock().queue.cancel(slot);
        }
    }
}

impl RunningSlot {
    /// Whether the request may still run under `grant` and `quotas`. While it waited, its identity may have spent more
    /// tokens and the grant may have been narrowed. Its own slot counts. Its own request is counted already, so quotas of
    /// requests do not apply again.
    ///
    /// # Errors
    /// [`Busy::Quota`] or [`Busy::Concurrent`].
    pub fn check(&self, grant: &Grant, quotas: &Quotas) -> Result<(), Busy> {
        let mut state = self.state.lock();
        if let Some(limit) = grant.max_concurrent.filter(|max| state.queue.running_of(&self.identity) > *max)
        {
            return Err(Busy::Concurrent(limit));
        }
        if !self.computes {
            return Ok(());
        }
        state.check_quotas(&self.identity, &quotas.of_tokens(), true)
    }

    /// Charges the identity for tokens.
    pub fn spend(&self, tokens: u64) {
        self.state.lock().spent.spend(&self.identity, QuotaUnit::Tokens, tokens, SystemTime::now());
    }
}

impl Drop for RunningSlot {
    fn drop(&mut self) {
        self.state.lock().queue.finish(&self.identity, self.computes);
    }
}

#[cfg(test)]
mod tests;
