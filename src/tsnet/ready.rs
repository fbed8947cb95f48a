//! Wakes the task that reads a connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Readiness of one connection. The library shares it until the connection is released.
#[derive(Debug)]
pub(super) struct Ready {
    /// A read may succeed.
    set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Ready {
    /// Set, so that the first poll tries a read.
    pub(super) fn new() -> Self {
        Ready { set: AtomicBool::new(true), waker: Mutex::new(None) }
    }

    /// Takes the readiness, or registers the task to be woken.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.set.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        let mut waker = self.waker.lock();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(waker);
        // `wake` may have run before the waker was registered.
        if self.set.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn set(&self) {
        self.set.store(true, Ordering::Release);
    }

    /// Sets the readiness and wakes the task.
    pub(super) fn wake(&self) {
        self.set();
        // By reference and under the lock, so that a thread of the library never drops a waker: that could
        // drop the task, and with it the connection whose locks this thread holds.
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }
}
