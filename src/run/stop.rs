//! Being told to stop, and to stop at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

/// How long the process goes on after the second signal, at most; then its log has half a second.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// How often the process was told to stop: by SIGTERM or SIGINT, by a failure, or by the end of the time
/// that stopping may take, which counts as the second signal.
#[derive(Clone)]
pub struct Stop {
    times: watch::Receiver<u32>,
    failed: Arc<Notify>,
}

impl Stop {
    /// From now on the signals do not end the process by themselves. They are received in a thread of its
    /// own, so that no call that hangs in the tailnet library keeps them from having effect: `end` is
    /// called there, and has to end the process, 2 s after the second signal. `limit` says, when
    /// the first comes, after how long that one is taken as given.
    ///
    /// # Errors
    /// The system does not let signals be received.
    pub fn new(
        limit: impl FnOnce() -> Duration + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        drop(entered);
        let (told, times) = watch::channel(0);
        let failed = Arc::<Notify>::default();
        let failure = Arc::clone(&failed);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let signalled = async || {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            };
            runtime.block_on(exhausted(signalled, &failure, &told, limit));
            end();
        })?;
        Ok(Stop { times, failed })
    }

    /// Waits for the first signal.
    pub async fn wait(&self) {
        self.times(1).await;
    }

    /// Waits for the second.
    pub async fn at_once(&self) {
        self.times(2).await;
    }

    /// The process stops because of a failure, which counts as the first signal.
    pub fn failed(&self) {
        self.failed.notify_one();
    }

    /// For tests: never told.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        let (told, times) = watch::channel(0);
        std::mem::forget(told);
        Stop { times, failed: Arc::default() }
    }

    async fn times(&self, least: u32) {
        let mut times = self.times.clone();
        // The sender lives as long as the process.
        let _ = times.wait_for(|times| *times >= least).await;
    }
}

/// Returns once the process may go on no longer.
async fn exhausted(
    mut signalled: impl AsyncFnMut(),
    failed: &Notify,
    told: &watch::Sender<u32>,
    limit: impl FnOnce() -> Duration,
) {
    tokio::select! {
        () = signalled() => {}
        () = failed.notified() => {}
    }
    told.send_replace(1);
    tokio::select! {
        () = signalled() => {}
        () = tokio::time::sleep(limit()) => {}
    }
    told.send_replace(2);
    tokio::time::sleep(AT_ONCE).await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(40);

    /// After how long the process ends, with signals at these seconds and nothing else done.
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
        exhausted(next, &failed, &watch::Sender::new(0), || LIMIT).await;
        drop(send);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn process_ends_within_its_limit_though_nothing_closes() {
        assert_eq!(ends_after(&[5], false).await, Duration::from_secs(5) + LIMIT + AT_ONCE);
        assert_eq!(ends_after(&[], true).await, LIMIT + AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn second_signal_ends_the_process_whenever_it_comes() {
        assert_eq!(ends_after(&[5, 5], false).await, Duration::from_secs(5) + AT_ONCE);
        assert_eq!(ends_after(&[5, 44], false).await, Duration::from_secs(44) + AT_ONCE);
        assert_eq!(ends_after(&[7], true).await, Duration::from_secs(7) + AT_ONCE);
    }
}
