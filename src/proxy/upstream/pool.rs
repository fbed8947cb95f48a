//! The connections to Ollama on which nothing is under way, for the next request of the client that each
//! belongs to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::proxy::upstream::conn::UpstreamConn;

/// The most that are kept, of all clients. Of more the one that has been idle longest is closed, and its
/// client's next request makes another: a silent client shall cost little, here and in Ollama.
const KEPT_MAX: usize = 256;

/// What is kept of all clients. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct UpstreamPool(Arc<Mutex<Idle>>);

#[derive(Default)]
struct Idle {
    /// By the order in which they became idle, from 1.
    links: BTreeMap<u64, UpstreamConn>,
    last: u64,
}

/// Where one client connection finds its own, and nobody else's.
#[derive(Default)]
pub(crate) struct PoolSlot {
    kept: UpstreamPool,
    /// Its place there; 0: none.
    at: AtomicU64,
}

impl PoolSlot {
    pub(crate) fn new(kept: &UpstreamPool) -> Self {
        PoolSlot { kept: kept.clone(), at: AtomicU64::default() }
    }

    /// Keeps `link`, which is idle.
    pub(crate) fn put(&self, link: UpstreamConn) {
        let mut idle = self.kept.lock();
        idle.last += 1;
        let at = idle.last;
        idle.links.insert(at, link);
        let before = idle.links.remove(&self.at.swap(at, Ordering::Relaxed));
        let oldest = if idle.links.len() > KEPT_MAX { idle.links.pop_first() } else { None };
        drop(idle);
        drop((before, oldest)); // closed while nobody waits
    }

    /// What was kept, if it still is.
    pub(crate) fn take(&self) -> Option<UpstreamConn> {
        self.kept.lock().links.remove(&self.at.swap(0, Ordering::Relaxed))
    }
}

impl Drop for PoolSlot {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl UpstreamPool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
