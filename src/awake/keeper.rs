//! The task that takes a lock while requests run or wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::state::AwakeState;
use crate::admission::Admission;
use crate::config::Config;

/// How often the running and waiting requests are counted while the lock is held.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the lock is kept after the last request, so that a stream of requests takes it once.
const LINGER: Duration = Duration::from_secs(5);

/// The pause after a failure. A system without the tool has none at the next request either.
const RETRY: Duration = Duration::from_secs(300);

/// Takes locks that keep the machine from idle-sleeping: the system's tool, or a test's.
pub trait Inhibitor: Send + Sync + 'static {
    /// A lock, which dropping releases.
    type Lock: Send;

    /// Takes a lock.
    ///
    /// # Errors
    /// The reason why there is none.
    fn take(&self) -> impl Future<Output = Result<Self::Lock, String>> + Send;

    /// Waits until the lock is lost, and returns the reason. Cancel-safe.
    fn lost(&self, lock: &mut Self::Lock) -> impl Future<Output = String> + Send;

    /// Releases the lock.
    fn release(&self, lock: Self::Lock) -> impl Future<Output = ()> + Send;
}

/// Keeps the machine awake while requests run or wait, if `power.keep_awake` is true.
pub struct Keeper<I> {
    admission: Admission,
    configs: watch::Receiver<Arc<Config>>,
    state: watch::Sender<AwakeState>,
    inhibitor: I,
    warned: bool,
}

impl<I: Inhibitor> Keeper<I> {
    /// Publishes what it does in `state`.
    pub fn new(
        admission: Admission,
        configs: watch::Receiver<Arc<Config>>,
        state: watch::Sender<AwakeState>,
        inhibitor: I,
    ) -> Self {
        Keeper { admission, configs, state, inhibitor, warned: false }
    }

    /// Runs until it is dropped, which releases the lock.
    pub async fn run(mut self) {
        loop {
            self.until_switched_on().await;
            let mut configs = self.configs.clone();
            tokio::select! {
                () = self.keep_awake() => {}
                _ = configs.wait_for(|config| !config.keep_awake) => {}
            }
            self.state.send_replace(AwakeState::Off);
        }
    }

    async fn until_switched_on(&mut self) {
        if self.configs.wait_for(|config| config.keep_awake).await.is_err() {
            std::future::pending::<()>().await; // the proxy ends
        }
    }

    /// Does not end.
    async fn keep_awake(&mut self) {
        loop {
            if !matches!(*self.state.borrow(), AwakeState::NotAvailable { .. }) {
                self.state.send_replace(AwakeState::NotHeld);
            }
            self.until_active().await;
            if let Err(reason) = self.hold().await {
                self.fail(reason);
                sleep(RETRY).await;
            }
        }
    }

    /// Holds a lock until no request has run or waited for a while.
    async fn hold(&mut self) -> Result<(), String> {
        let mut lock = self.inhibitor.take().await?;
        self.state.send_replace(AwakeState::Held);
        tokio::select! {
            () = self.until_idle() => {}
            reason = self.inhibitor.lost(&mut lock) => return Err(reason),
        }
        self.warned = false;
        self.inhibitor.release(lock).await;
        Ok(())
    }

    fn fail(&mut self, reason: String) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                reason,
                "cannot keep the machine awake while it works: retrying every 5 min while requests run"
            );
        }
        self.state.send_replace(AwakeState::NotAvailable { reason });
    }

    async fn until_active(&self) {
        while self.admission.load() == (0, 0) {
            self.admission.admitted().await;
        }
    }

    async fn until_idle(&self) {
        loop {
            while self.admission.load() != (0, 0) {
                sleep(INTERVAL).await;
            }
            if timeout(LINGER, self.admission.admitted()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
