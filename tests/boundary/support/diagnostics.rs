//! The diagnostics of one test, while others run in parallel.

use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};

/// Two subscribers that want nothing. While at most one subscriber exists, tracing asks the current thread's alone whether a
/// call site is wanted, and keeps the answer for all threads (`Rebuilder::JustOne` in tracing-core 0.1.36). So a thread without a
/// subscriber would switch the call site off for [`capture`] too. With two more, it always asks all.
static OTHERS: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [Dispatch::new(NoSubscriber::new()), Dispatch::new(NoSubscriber::new())]);

/// What a subscriber has written.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has tracing ask every subscriber about a call site. Every proxy of these tests calls it before it reaches one.
pub(super) fn ask_every_subscriber() {
    LazyLock::force(&OTHERS);
}

/// Captures what this thread logs until the guard is dropped.
pub(crate) fn capture() -> (Written, DefaultGuard) {
    ask_every_subscriber();
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (written, tracing::subscriber::set_default(subscriber))
}

#[test]
fn call_site_that_another_thread_reaches_first_is_captured() {
    let (written, _guard) = capture();
    let log = || tracing::warn!("reached");
    std::thread::spawn(log).join().unwrap();
    log();
    assert_eq!(written.text().matches("reached").count(), 1, "{}", written.text());
}
