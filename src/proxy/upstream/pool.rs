//! The pool of idle connections to Ollama. Each belongs to one client connection, for its next request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::proxy::upstream::conn::UpstreamConn;

/// The most idle connections of all clients, so that silent clients cost little, here and in Ollama. Beyond that, the one
/// that has been idle longest is closed, and its client's next request makes another.
const IDLE_MAX: usize = 256;

/// The idle connections of all clients. Clones are the same pool.
#[derive(Clone, Default)]
pub(crate) struct UpstreamPool(Arc<Mutex<Idle>>);

#[derive(Default)]
struct Idle {
    /// By a number that grows as connections become idle, from 1.
    conns: BTreeMap<u64, UpstreamConn>,
    last: u64,
}

/// One client connection's entry in the pool. No other client can take its connection.
#[derive(Default)]
pub(crate) struct PoolEntry {
    pool: UpstreamPool,
    /// The number of its connection in the pool; 0: it has none there.
    number: AtomicU64,
}

impl PoolEntry {
    pub(crate) fn new(pool: &UpstreamPool) -> Self {
        PoolEntry { pool: pool.clone(), number: AtomicU64::default() }
    }

    /// Keeps an idle connection.
    pub(super) fn put(&self, conn: UpstreamConn) {
        let mut idle = self.pool.0.lock();
        idle.last += 1;
        let number = idle.last;
        idle.conns.insert(number, conn);
        let replaced = idle.conns.remove(&self.number.swap(number, Ordering::Relaxed));
        let evicted = if idle.conns.len() > IDLE_MAX { idle.conns.pop_first() } else { None };
        drop(idle);
        drop((replaced, evicted)); // closed without the lock
    }

    /// Takes the connection back, unless it was closed.
    pub(super) fn take(&self) -> Option<UpstreamConn> {
        self.pool.0.lock().conns.remove(&self.number.swap(0, Ordering::Relaxed))
    }
}

impl Drop for PoolEntry {
    fn drop(&mut self) {
        drop(self.take());
    }
}
