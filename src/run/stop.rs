//! The signals to stop, and to stop at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

/// How long the process may go on after the second signal. Flushing its log takes another 0.5 s at most.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// How many signals have arrived. SIGTERM and SIGINT count, and so does a failure. The time limit of stopping counts
/// as the second signal.
#[derive(Clone)]
pub struct Stop {
    signals: watch::Receiver<u32>,
    failed: Arc<Notify>,
}

impl Stop {
    /// Receives the signals from now on, in a thread of its own: a call that hangs in the tailnet library can't delay them.
    /// That thread calls `end`, which has to end the process, within 2 s of the second signal. `limit` is the longest
    /// that stopping may take; it is called at the first signal.
    ///
    /// # Errors
    /// The system does not deliver signals, or has no thread.
    pub fn new(
        limit: impl FnOnce() -> Duration + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        drop(entered);
        let (count, signals) = watch::channel(0);
        let failed = Arc::<Notify>::default();
        let failure = Arc::clone(&failed);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let signalled = async || {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            };
            runtime.block_on(count_signals(signalled, &failure, &count, limit));
            end();
        })?;
        Ok(Stop { signals, failed })
    }

    /// Waits for the first signal.
    pub async fn wait(&self) {
        self.reaches(1).await;
    }

    /// Waits for the second.
    pub async fn at_once(&self) {
        self.reaches(2).await;
    }

    /// Counts a failure as the first signal.
    pub fn count_failure(&self) {
        self.failed.notify_one();
    }

    /// For tests: no signal ever comes.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        let (count, signals) = watch::channel(0);
        std::mem::forget(count);
        Stop { signals, failed: Arc::default() }
    }

    async fn reaches(&self, count: u32) {
        let mut signals = self.signals.clone();
        // No error: the sender lives as long as the process.
        let _ = signals.wait_for(|signals| *signals >= count).await;
    }
}

/// Counts the signals in `count`. Returns when the process has to end, after the second one.
async fn count_signals(
    mut signalled: impl AsyncFnMut(),
    failed: &Notify,
    count: &watch::Sender<u32>,
    limit: impl FnOnce() -> Duration,
) {
    tokio::select! {
        () = signalled() => {}
        () = failed.notified() => {}
    }
    count.send_replace(1);
    tokio::select! {
        () = signalled() => {}
        () = tokio::time::sleep(limit()) => {}
    }
    count.send_replace(2);
    tokio::time::sleep(AT_ONCE).await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(40);

    /// The time after which the process ends, with signals at these seconds, if nothing closes.
    async fn ends_after(signals: &[u64], fails: bool) -> Duration {
        let began = Instant::now();
        let (send, mut signalled) = mpsc::unbounded_channel();
        for at in signals.iter().copied() {
            let send = send.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(began + Duration::from_secs(at)).await;
                let _ = send.send(());
            });
        }
        let failed = Notify::new();
        if fails {
            failed.notify_one();
        }
        let next = async || {
            signalled.recv().await;
        };
        count_signals(next, &failed, &watch::Sender::new(0), || LIMIT).await;
        drop(send);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn process_ends_within_its_limit_if_nothing_closes() {
        assert_eq!(ends_after(&[5], false).await, Duration::from_secs(5) + LIMIT + AT_ONCE);
        assert_eq!(ends_after(&[], true).await, LIMIT + AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn second_signal_ends_the_process_at_any_time() {
        assert_eq!(ends_after(&[5, 5], false).await, Duration::from_secs(5) + AT_ONCE);
        assert_eq!(ends_after(&[5, 44], false).await, Duration::from_secs(44) + AT_ONCE);
        assert_eq!(ends_after(&[7], true).await, Duration::from_secs(7) + AT_ONCE);
    }
}
