//! Whose turn it is. Among those who wait, the highest priority goes first; among equals, the identity
//! with the fewest running requests; then turns go round (start-time fair queueing: each turn moves an
//! identity's tag on by one, who is new begins where the last turn began, and the lowest tag goes
//! first). So one client with a hundred requests does not hold up another with one, and nobody who
//! comes and goes overtakes somebody who waits for ever.

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
    /// The number of the next to wait.
    next: u64,
    /// The tag with which the last turn began.
    now: u64,
}

#[derive(Default)]
struct Counts {
    running: u32,
    computing: u32,
    /// With which its next turn begins, unless `now` is further on.
    tag: u64,
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
    /// Sets how many may run at once, in all and of each identity. With more than before, whoever waits
    /// may go on.
    pub(super) fn limit(&mut self, max: u32, max_each: u32) {
        if (self.max, self.max_each) != (max, max_each) {
            (self.max, self.max_each) = (max, max_each);
            self.call();
        }
    }

    pub(super) fn running(&self) -> u32 {
        self.identities.values().map(|c| c.running).sum()
    }

    pub(super) fn running_of(&self, identity: &str) -> u32 {
        self.identities.get(identity).map_or(0, |c| c.running)
    }

    /// Requests of an identity that wait.
    pub(super) fn waiting_of(&self, identity: &str) -> u32 {
        u32::try_from(self.waiting.iter().filter(|w| w.identity == identity).count()).unwrap_or(u32::MAX)
    }

    /// Requests of an identity that run or wait.
    pub(super) fn held_by(&self, identity: &str) -> u32 {
        self.running_of(identity).saturating_add(self.waiting_of(identity))
    }

    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Counts a request as running.
    pub(super) fn enter(&mut self, identity: &str, computes: bool) {
        let counts = self.identities.entry(identity.to_owned()).or_default();
        counts.running += 1;
        if computes {
            counts.computing += 1;
            self.computing += 1;
            self.now = self.now.max(counts.tag);
            counts.tag = self.now + 1;
        }
    }

    /// Whether a request may begin at once. Who waits now can't, or it would have: only its own
    /// identity's limit holds it up, or the node's, which holds up this one too.
    pub(super) fn is_free(&self, identity: &str) -> bool {
        self.computing < self.max && self.has_room(identity)
    }

    fn has_room(&self, identity: &str) -> bool {
        self.identities.get(identity).is_none_or(|c| c.computing < self.max_each)
    }

    pub(super) fn wait(&mut self, identity: &str, priority: Priority) -> Waiting {
        self.next += 1;
        let (turn, told) = oneshot::channel();
        let number = self.next;
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
        // Whoever is not further on than the others is as good as new.
        let (now, quiet) = (self.now, self.computing == 0 && self.waiting.is_empty());
        self.identities.retain(|_, c| c.running > 0 || !quiet && c.tag > now);
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
                    let (running, tag) = counts.map_or((0, 0), |c| (c.computing, c.tag));
                    (std::cmp::Reverse(w.priority), running, tag.max(self.now), w.number)
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
