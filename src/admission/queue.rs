//! Whose turn it is. Among those who wait, the highest priority goes first; among equals, the identity
//! with the fewest running requests, and then the one that was served the longest time ago. So one
//! client with a hundred requests does not hold up another with one.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::policy::Priority;

/// Running and waiting requests.
#[derive(Default)]
pub(super) struct Queue {
    max: u32,
    max_each: u32,
    /// Those that compute; only they are limited.
    computing: u32,
    identities: HashMap<String, Counts>,
    waiting: Vec<Waiter>,
    clock: u64,
}

#[derive(Default)]
struct Counts {
    running: u32,
    computing: u32,
    /// When it was last given a turn, by `clock`; 0: never.
    served: u64,
}

struct Waiter {
    identity: String,
    priority: Priority,
    number: u64,
    turn: oneshot::Sender<()>,
}

/// A place in the queue.
pub(super) struct Waiting {
    identity: String,
    number: u64,
    turn: oneshot::Receiver<()>,
}

impl Waiting {
    pub(super) async fn turn(&mut self) {
        // The queue outlives whoever waits in it.
        let _ = (&mut self.turn).await;
    }
}

impl Queue {
    pub(super) fn new(max: u32, max_each: u32) -> Self {
        Queue { max, max_each, ..Queue::default() }
    }

    pub(super) fn running(&self) -> u32 {
        self.identities.values().map(|c| c.running).sum()
    }

    fn running_of(&self, identity: &str) -> u32 {
        self.identities.get(identity).map_or(0, |c| c.running)
    }

    /// Requests of an identity that run or wait.
    pub(super) fn held_by(&self, identity: &str) -> u32 {
        let waiting = self.waiting.iter().filter(|w| w.identity == identity).count();
        self.running_of(identity).saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Counts a request as running.
    pub(super) fn enter(&mut self, identity: &str, computes: bool) {
        let counts = self.identities.entry(identity.to_owned()).or_default();
        counts.running += 1;
        if computes {
            self.clock += 1;
            counts.computing += 1;
            counts.served = self.clock;
            self.computing += 1;
        }
    }

    /// Lets a request begin if nobody has to go before it.
    pub(super) fn try_enter(&mut self, identity: &str) -> bool {
        // Who waits now can't begin, or it would have: only its own identity's limit holds it up, or
        // the node's, which holds up this one too.
        let free = self.computing < self.max && self.has_room(identity);
        if free {
            self.enter(identity, true);
        }
        free
    }

    fn has_room(&self, identity: &str) -> bool {
        self.identities.get(identity).is_none_or(|c| c.computing < self.max_each)
    }

    pub(super) fn wait(&mut self, identity: &str, priority: Priority) -> Waiting {
        self.clock += 1;
        let (turn, told) = oneshot::channel();
        let number = self.clock;
        self.waiting.push(Waiter { identity: identity.to_owned(), priority, number, turn });
        Waiting { identity: identity.to_owned(), number, turn: told }
    }

    /// Somebody no longer waits, or no longer wants the turn that has come.
    pub(super) fn give_up(&mut self, mut waiting: Waiting) {
        if waiting.turn.try_recv().is_ok() {
            self.leave(&waiting.identity, true);
        } else {
            self.waiting.retain(|w| w.number != waiting.number);
        }
    }

    /// A request has ended.
    pub(super) fn leave(&mut self, identity: &str, computes: bool) {
        if let Some(counts) = self.identities.get_mut(identity) {
            counts.running -= 1;
            if computes {
                counts.computing -= 1;
                self.computing -= 1;
            }
        }
        self.call();
        let waits = self.waiting.iter().any(|w| w.identity == identity);
        if !waits && self.running_of(identity) == 0 {
            self.identities.remove(identity);
        }
    }

    /// Gives turns as long as there are any to give.
    fn call(&mut self) {
        while self.computing < self.max {
            let next = self
                .waiting
                .iter()
                .enumerate()
                .filter(|(_, w)| self.has_room(&w.identity))
                .min_by_key(|(_, w)| {
                    let counts = self.identities.get(&w.identity);
                    let (running, served) = counts.map_or((0, 0), |c| (c.computing, c.served));
                    (std::cmp::Reverse(w.priority), running, served, w.number)
                })
                .map(|(at, _)| at);
            let Some(at) = next else { return };
            let waiter = self.waiting.remove(at);
            if waiter.turn.send(()).is_ok() {
                self.enter(&waiter.identity, true);
            }
        }
    }
}

#[cfg(test)]
impl Queue {
    /// Whether nothing is kept of anybody.
    pub(super) fn is_forgetful(&self) -> bool {
        self.identities.is_empty() && self.waiting.is_empty()
    }
}
