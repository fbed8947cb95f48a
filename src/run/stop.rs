//! The signals to stop, and to stop at once.

use std::io;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;

use super::error::RunError;
use crate::signals;

/// How long the process may go on after the second signal. Flushing its log takes another 0.5 s at most.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// How many signals have arrived. SIGTERM and SIGINT count, and so does a failure. The time limit of stopping counts
/// as the second signal.
#[derive(Clone)]
pub struct Stop {
    signals: watch::Receiver<u32>,
    /// The exit code for the failure, if any.
    failure: watch::Sender<Option<u8>>,
    exit_code: fn(&RunError) -> u8,
}

impl Stop {
    /// Receives the signals from now on, in a thread of its own: a call that hangs in the tailnet library can't delay them.
    /// That thread calls `end`, which has to end the process, within 2 s of the second signal: with the exit code for the
    /// failure, or `None` if nothing failed. `limit` is the longest that stopping may take; it is called at the first
    /// signal.
    ///
    /// # Errors
    /// The system does not deliver signals, or has no thread.
    pub fn new(
        limit: impl FnOnce() -> Duration + Send + 'static,
        exit_code: fn(&RunError) -> u8,
        end: impl FnOnce(Option<u8>) + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut term = signals::receive(SignalKind::terminate())?;
        let mut int = signals::receive(SignalKind::interrupt())?;
        drop(entered);
        let (count, signals) = watch::channel(0);
        let failure = watch::Sender::new(None);
        let failed = failure.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let signalled = async || {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            };
            end(runtime.block_on(count_signals(signalled, &failed, &count, limit)));
        })?;
        Ok(Stop { signals, failure, exit_code })
    }

    /// Waits for the first signal.
    pub async fn wait(&self) {
        self.reaches(1).await;
    }

    /// Waits for the second.
    pub async fn at_once(&self) {
        self.reaches(2).await;
    }

    /// Counts a failure as the first signal. From now on the process ends with the exit code for it.
    pub fn count_failure(&self, failure: &RunError) {
        self.failure.send_replace(Some((self.exit_code)(failure)));
    }

    /// For tests: no signal ever comes.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        let (count, signals) = watch::channel(0);
        std::mem::forget(count);
        Stop { signals, failure: watch::Sender::new(None), exit_code: |_| 1 }
    }

    async fn reaches(&self, count: u32) {
        let mut signals = self.signals.clone();
        // No error: the sender lives as long as the process.
        let _ = signals.wait_for(|signals| *signals >= count).await;
    }
}

/// Counts the signals in `count`. Returns when the process has to end, with the exit code for the failure until then.
async fn count_signals(
    mut signalled: impl AsyncFnMut(),
    failure: &watch::Sender<Option<u8>>,
    count: &watch::Sender<u32>,
    limit: impl FnOnce() -> Duration,
) -> Option<u8> {
    let mut failed = failure.subscribe();
    tokio::select! {
        () = signalled() => {}
        _ = failed.wait_for(Option::is_some) => {}
    }
    count.send_replace(1);
    tokio::select! {
        () = signalled() => {}
        () = tokio::time::sleep(limit()) => {}
    }
    count.send_replace(2);
    tokio::time::sleep(AT_ONCE).await;
    *failure.borrow()
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(40);

    /// What starts or hurries the end of the process.
    #[derive(Clone, Copy)]
    enum Cause {
        Signal,
        Failure(u8),
    }

    use Cause::{Failure, Signal};

    /// When the process ends, and with which exit code, with these causes at these seconds, if nothing closes.
    async fn end(causes: &[(u64, Cause)]) -> (Duration, Option<u8>) {
        let began = Instant::now();
        let (signal, mut signals) = mpsc::unbounded_channel();
        let next = async move || {
            signals.recv().await;
        };
        let (failure, count) = (watch::Sender::new(None), watch::Sender::new(0));
        let mut counted = count.subscribe();
        let failed = failure.clone();
        let ended = tokio::spawn(async move { count_signals(next, &failed, &count, || LIMIT).await });
        for (i, (at, cause)) in causes.iter().enumerate() {
            tokio::time::advance(began + Duration::from_secs(*at) - Instant::now()).await;
            match cause {
                Signal => signal.send(()).unwrap(),
                Failure(code) => drop(failure.send_replace(Some(*code))),
            }
            if i == 0 {
                counted.wait_for(|count| *count == 1).await.unwrap(); // the limit is measured from here
            }
        }
        let code = ended.await.unwrap();
        (began.elapsed(), code)
    }

    #[tokio::test(start_paused = true)]
    async fn process_ends_within_its_limit_if_nothing_closes() {
        assert_eq!(end(&[(5, Signal)]).await, (Duration::from_secs(5) + LIMIT + AT_ONCE, None));
        assert_eq!(end(&[(0, Failure(1))]).await, (LIMIT + AT_ONCE, Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn second_signal_ends_the_process_at_any_time() {
        let at_once = |seconds| Duration::from_secs(seconds) + AT_ONCE;
        assert_eq!(end(&[(5, Signal), (5, Signal)]).await, (at_once(5), None));
        assert_eq!(end(&[(5, Signal), (44, Signal)]).await, (at_once(44), None));
        assert_eq!(end(&[(0, Failure(1)), (7, Signal)]).await, (at_once(7), Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn failure_while_stopping_sets_the_exit_code() {
        let (after, code) = end(&[(5, Signal), (9, Failure(77))]).await;
        assert_eq!((after, code), (Duration::from_secs(5) + LIMIT + AT_ONCE, Some(77)));
    }
}
