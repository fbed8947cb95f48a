//! Who may begin a request now, who waits for it, and who is told to come back later.
//!
//! Two kinds of limits meet here: those that the tailnet policy grants an identity, and those of the
//! node, which protect Ollama from more than it can do at once.

mod queue;
mod rate;
mod tokens;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::policy::Grant;
use queue::{Queue, Waiting};

/// What the node allows, whoever asks. A grant can only narrow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that make Ollama compute, running at once in all; more have to wait.
    pub running: u32,
    /// Of them, those of one identity.
    pub running_per_identity: u32,
    /// Requests that wait, in all; more are told to come back.
    pub waiting: u32,
    /// How long a request may wait.
    pub wait: Duration,
    /// Requests of one identity begun within any minute; `None`: any number.
    pub requests_per_minute: Option<u32>,
    /// Bytes of a request's body.
    pub max_body: u64,
    /// Open connections in all.
    pub connections: usize,
    /// Open connections of one peer.
    pub connections_per_peer: usize,
}

impl Limits {
    /// No limits: only those of grants.
    pub const NONE: Limits = Limits {
        running: u32::MAX,
        running_per_identity: u32::MAX,
        waiting: 0,
        wait: Duration::ZERO,
        requests_per_minute: None,
        max_body: u64::MAX,
        connections: usize::MAX,
        connections_per_peer: usize::MAX,
    };
}

/// How long a client may keep silent. There is no limit on how long a request or an answer takes: a
/// generation may run for hours, as long as the client does its part, and Ollama may be silent for as
/// long as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From the first byte of a request's head to its last; then 408.
    pub head: Duration,
    /// Between two bytes of a request's body that are waited for; then 408.
    pub body: Duration,
    /// Without taking a byte of an answer that is there to be sent; then the connection is cut.
    pub answer: Duration,
    /// Without a request; then the connection is closed.
    pub idle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Pace { head: seconds(10), body: seconds(30), answer: seconds(120), idle: seconds(120) }
    }
}

/// One identity has at most this part of the places to wait in, so that there is one for others.
const SHARE: u32 = 4;

/// Counts the requests of each identity. Clones count together.
#[derive(Clone, Default)]
pub struct Admission {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    queue: Queue,
    rates: rate::Rates,
    spent: tokens::Spent,
}

/// Why a request may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// As many requests of the identity run or wait as its grant allows at once.
    #[error("the tailnet policy grants you {0} requests at once, and they are running or waiting")]
    Concurrent(u32),
    /// As many requests of the identity were begun as may be begun in a minute.
    #[error("you may begin {limit} requests per minute")]
    Rate {
        /// Requests per minute.
        limit: u32,
        /// Until the next may begin.
        wait: Duration,
    },
    /// As many tokens of the identity were spent today as its grant allows in a day.
    #[error(
        "the tailnet policy grants you {limit} tokens a day, and they are spent; the next day begins at midnight, UTC"
    )]
    Tokens {
        /// Tokens a day.
        limit: u64,
        /// Until the next day.
        wait: Duration,
    },
    /// As many requests wait as may wait, in all or of the identity.
    #[error("too many requests wait already, {0} in all")]
    Full(u32),
    /// The request has waited as long as it may.
    #[error("the request has waited {0:?} for others to end")]
    Waited(Duration),
}

/// Leave to run one request; it counts as running until this is dropped.
pub struct RunningSlot {
    state: Arc<Mutex<State>>,
    identity: String,
    computes: bool,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Admission {
    /// Lets a request of `identity` begin, at once or when its turn has come. A request that does not
    /// make Ollama compute never waits. Dropping the future gives the turn away. The latest `limits`
    /// hold for everybody.
    ///
    /// # Errors
    /// See [`Busy`]. A request that is refused at once counts for nothing.
    pub async fn admit(
        &self,
        limits: &Limits,
        identity: &str,
        grant: &Grant,
        computes: bool,
    ) -> Result<RunningSlot, Busy> {
        let slot = |computes| RunningSlot {
            state: Arc::clone(&self.state),
            identity: identity.to_owned(),
            computes,
        };
        let waiting = {
            let mut state = lock(&self.state);
            state.queue.limit(limits.running, limits.running_per_identity);
            if let Some(limit) = grant.max_concurrent.filter(|max| state.queue.held_by(identity) >= *max) {
                return Err(Busy::Concurrent(limit));
            }
            if let Some(limit) = grant.tokens_per_day.filter(|_| computes) {
                state.spent.check(identity, limit, SystemTime::now())?;
            }
            let waits = computes && !state.queue.is_free(identity);
            let share = limits.waiting.div_ceil(SHARE);
            if waits && (state.queue.waiting() >= limits.waiting || state.queue.waiting_of(identity) >= share)
            {
                return Err(Busy::Full(state.queue.waiting()));
            }
            let rate = [grant.requests_per_minute, limits.requests_per_minute].into_iter().flatten().min();
            if let Some(limit) = rate {
                state.rates.begin(identity, limit, Instant::now())?;
            }
            if !waits {
                state.queue.enter(identity, computes);
                return Ok(slot(computes));
            }
            state.queue.wait(identity, grant.priority)
        };
        let turn = Turn { state: &self.state, waiting: Some(waiting) };
        match tokio::time::timeout(limits.wait, turn.come()).await {
            Ok(()) => Ok(slot(true)),
            Err(_) => Err(Busy::Waited(limits.wait)),
        }
    }

    /// From now on these limits hold; whoever waits may have a turn under them.
    pub fn limit(&self, limits: &Limits) {
        lock(&self.state).queue.limit(limits.running, limits.running_per_identity);
    }

    /// Requests that run, and that wait.
    pub fn load(&self) -> (u32, u32) {
        let state = lock(&self.state);
        (state.queue.running(), state.queue.waiting())
    }
}

/// A place in the queue, left when dropped; the turn, should it have come meanwhile, goes on.
struct Turn<'a> {
    state: &'a Mutex<State>,
    waiting: Option<Waiting>,
}

impl Turn<'_> {
    async fn come(mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.turn().await;
        }
        self.waiting = None; // taken
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            lock(self.state).queue.give_up(waiting);
        }
    }
}

impl RunningSlot {
    /// Whether the request may run under `grant`, after it has waited: more may have been spent meanwhile, and the grant may have
    /// been narrowed. Its own place counts.
    ///
    /// # Errors
    /// [`Busy::Tokens`] or [`Busy::Concurrent`].
    pub fn check(&self, grant: &Grant) -> Result<(), Busy> {
        let mut state = lock(&self.state);
        if let Some(limit) = grant.max_concurrent.filter(|max| state.queue.running_of(&self.identity) > *max)
        {
            return Err(Busy::Concurrent(limit));
        }
        match grant.tokens_per_day.filter(|_| self.computes) {
            Some(limit) => state.spent.check(&self.identity, limit, SystemTime::now()),
            None => Ok(()),
        }
    }

    /// The request has spent so many tokens of a day's.
    pub fn spend(&self, tokens: u64) {
        lock(&self.state).spent.spend(&self.identity, tokens, SystemTime::now());
    }
}

impl Drop for RunningSlot {
    fn drop(&mut self) {
        lock(&self.state).queue.leave(&self.identity, self.computes);
    }
}

#[cfg(test)]
mod tests;
