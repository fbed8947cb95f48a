//! The running and waiting slots. When a running slot is free, the waiting request with the highest priority gets it;
//! among equals, the identity with the fewest running requests; then identities take turns by start-time fair queueing.
//! For that each identity has a virtual start time: each start advances it by one, a new identity begins at the virtual
//! time of the latest start, and the lowest goes first. So one client with a hundred requests does not delay another with one, and identities that
//! come and go can't starve one that waits.

use std::cmp::Reverse;
use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::policy::Priority;

/// Running and waiting requests.
#[derive(Default)]
pub(super) struct Queue {
    max_running: u32,
    max_running_per_identity: u32,
    /// Running requests that compute. Only these are limited.
    computing: u32,
    identities: HashMap<String, Identity>,
    waiting: Vec<Waiter>,
    /// Who waits for a free running slot without taking it.
    spectators: Vec<oneshot::Sender<()>>,
    /// The number of the latest waiter.
    last_number: u64,
    /// The virtual start time of the latest start.
    virtual_time: u64,
}

#[derive(Default)]
struct Identity {
    running: u32,
    computing: u32,
    /// The virtual time of its next start, unless the queue's is later.
    next_start: u64,
}

struct Waiter {
    identity: String,
    priority: Priority,
    number: u64,
    start: oneshot::Sender<()>,
}

/// A waiting slot in the queue.
pub(super) struct WaitingSlot {
    identity: String,
    number: u64,
    started: oneshot::Receiver<()>,
}

impl WaitingSlot {
    /// Waits until the request has a running slot.
    pub(super) async fn started(&mut self) {
        // The sender is not dropped earlier: the queue outlives its waiting slots.
        let _ = (&mut self.started).await;
    }
}

impl Queue {
    /// Sets how many requests may run at once, in all and per identity. Higher limits start waiting requests.
    pub(super) fn set_limits(&mut self, max_running: u32, max_running_per_identity: u32) {
        if (self.max_running, self.max_running_per_identity) != (max_running, max_running_per_identity) {
            (self.max_running, self.max_running_per_identity) = (max_running, max_running_per_identity);
            self.start_waiting();
        }
    }

    pub(super) fn running(&self) -> u32 {
        self.identities.values().map(|identity| identity.running).sum()
    }

    pub(super) fn running_of(&self, identity: &str) -> u32 {
        self.identities.get(identity).map_or(0, |identity| identity.running)
    }

    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn waiting_of(&self, identity: &str) -> u32 {
        u32::try_from(self.waiting.iter().filter(|w| w.identity == identity).count()).unwrap_or(u32::MAX)
    }

    /// Running and waiting requests of an identity.
    pub(super) fn slots_of(&self, identity: &str) -> u32 {
        self.running_of(identity).saturating_add(self.waiting_of(identity))
    }

    /// Whether a request of `identity` may start at once. It overtakes no waiting request that could start: such a request
    /// waits either for its own identity's limit, or for the limit in all, which holds here too.
    pub(super) fn has_free_slot(&self, identity: &str) -> bool {
        self.computing < self.max_running && self.is_below_limit(identity)
    }

    fn is_below_limit(&self, identity: &str) -> bool {
        self.identities.get(identity).is_none_or(|i| i.computing < self.max_running_per_identity)
    }

    /// Takes a running slot.
    pub(super) fn start(&mut self, identity: &str, computes: bool) {
        let identity = self.identities.entry(identity.to_owned()).or_default();
        identity.running += 1;
        if computes {
            identity.computing += 1;
            self.computing += 1;
            self.virtual_time = self.virtual_time.max(identity.next_start);
            identity.next_start = self.virtual_time + 1;
        }
    }

    /// Takes a waiting slot.
    pub(super) fn enqueue(&mut self, identity: &str, priority: Priority) -> WaitingSlot {
        self.last_number += 1;
        let number = self.last_number;
        let (start, started) = oneshot::channel();
        self.waiting.push(Waiter { identity: identity.to_owned(), priority, number, start });
        WaitingSlot { identity: identity.to_owned(), number, started }
    }

    /// Is ready as soon as a running slot is free that no waiting request could take. The slot stays free.
    pub(super) fn when_slot_is_free(&mut self) -> oneshot::Receiver<()> {
        let (free, when_free) = oneshot::channel();
        self.spectators.retain(|spectator| !spectator.is_closed());
        self.spectators.push(free);
        self.start_waiting();
        when_free
    }

    /// Frees a waiting slot, or the running slot that it has become.
    pub(super) fn cancel(&mut self, mut slot: WaitingSlot) {
        if slot.started.try_recv().is_ok() {
            self.finish(&slot.identity, true);
        } else {
            self.waiting.retain(|w| w.number != slot.number);
        }
    }

    /// Frees a running slot.
    pub(super) fn finish(&mut self, identity: &str, computes: bool) {
        if let Some(identity) = self.identities.get_mut(identity) {
            identity.running -= 1;
            if computes {
                identity.computing -= 1;
                self.computing -= 1;
            }
        }
        self.start_waiting();
        self.forget_idle();
    }

    /// Forgets identities whose next start would rank like a new identity's.
    fn forget_idle(&mut self) {
        let is_idle = self.computing == 0 && self.waiting.is_empty();
        let virtual_time = self.virtual_time;
        self.identities.retain(|_, i| i.running > 0 || !is_idle && i.next_start > virtual_time);
    }

    /// Starts waiting requests while there are running slots for them. Then tells who waits for one that is left.
    fn start_waiting(&mut self) {
        while let Some(at) = self.next_waiting() {
            let waiter = self.waiting.remove(at);
            if waiter.start.send(()).is_ok() {
                self.start(&waiter.identity, true);
            }
        }
        if self.computing < self.max_running {
            for spectator in self.spectators.drain(..) {
                let _ = spectator.send(()); // an error: it no longer waits
            }
        }
    }

    /// The place in `waiting` of the request that starts next.
    fn next_waiting(&self) -> Option<usize> {
        if self.computing >= self.max_running {
            return None;
        }
        let rank = |waiter: &Waiter| {
            let identity = self.identities.get(&waiter.identity);
            let (computing, next_start) = identity.map_or((0, 0), |i| (i.computing, i.next_start));
            (Reverse(waiter.priority), computing, next_start.max(self.virtual_time), waiter.number)
        };
        let waiting = self.waiting.iter().enumerate();
        let able = waiting.filter(|(_, waiter)| self.is_below_limit(&waiter.identity));
        able.min_by_key(|(_, waiter)| rank(waiter)).map(|(at, _)| at)
    }
}

#[cfg(test)]
impl Queue {
    /// Whether the queue keeps nothing about any identity.
    pub(super) fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.waiting.is_empty()
    }
}
