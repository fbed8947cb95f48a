//! How often each identity has the page open, with an end to it: what is shown is made anew for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::peer::Peer;
use crate::policy::Refusal;

/// Less than the six connections that browsers make to one host: one is left to cancel with.
const MOST: usize = 4;

#[derive(Default)]
pub(super) struct Watching(Arc<Seats>);

#[derive(Default)]
struct Seats(Mutex<HashMap<String, usize>>);

/// Somebody has the page open for as long as this is there.
pub(super) struct Seat {
    seats: Arc<Seats>,
    identity: String,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    pub(super) fn enter(&self, peer: &Peer) -> Result<Seat, Refusal> {
        let mut seats = self.0.lock();
        let taken = seats.entry(peer.identity().to_owned()).or_default();
        if *taken >= MOST {
            return Err(Refusal::Watching(MOST));
        }
        *taken += 1;
        Ok(Seat { seats: Arc::clone(&self.0), identity: peer.identity().to_owned() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock();
        if let Some(taken) = seats.get_mut(&self.identity) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.identity);
            }
        }
    }
}
