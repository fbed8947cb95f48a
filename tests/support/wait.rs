//! Waiting in tests: for a condition, never for a time. All of the tests' clocks are in this file.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// Turns a hang into a failure. No test waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often `found` looks: rarely enough to leave the processor to what is tested.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits for `future`; `what` is what a failure names.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    within(PATIENCE, what, future).await
}

/// The same with a bound of its own.
pub(crate) async fn within<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(patience, future).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting for this after {patience:?}: {what}"),
    }
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    found(what, async || holds().await.then_some(())).await;
}

/// Waits until `look` finds a value.
///
/// It polls, because what it looks at offers no event: another process's files and sockets, and counters of the proxy
/// that only metrics read. Whatever offers an event is awaited with `soon`.
pub(crate) async fn found<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    found_within(PATIENCE, what, look).await
}

/// The same with a bound of its own.
pub(crate) async fn found_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let mut looks = tokio::time::interval(INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    within(patience, what, async {
        loop {
            looks.tick().await;
            if let Some(value) = look().await {
                return value;
            }
        }
    })
    .await
}

/// Lets paused time pass, and with it every timer that is due by then. Panics unless time is paused.
pub(crate) async fn pass(time: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(time).await;
}

/// Spaces out what a client sends, or lasts as long as something is measured. No test depends on what else happens
/// meanwhile.
pub(crate) async fn delay(time: Duration) {
    tokio::time::sleep(time).await;
}
