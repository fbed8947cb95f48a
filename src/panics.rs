//! Logs and counts panics, each with the task that it ended. Only a fault in this program causes one. It ends a connection,
//! or, in a part that the proxy can't work without, the process (`run::tasks`).

use std::any::Any;
use std::io::Write;
use std::panic::{PanicHookInfo, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::peer::Peer;

tokio::task_local! {
    static TASK: Task;
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// How much of a panic's text is logged, in characters.
const TEXT_MAX: usize = 200;

/// The task of a panic, for the log.
#[derive(Debug, Clone)]
struct Task {
    name: &'static str,
    peer: Option<Arc<Peer>>,
}

/// `future`, with its panic logged under this name.
pub(crate) fn named<F: Future>(name: &'static str, future: F) -> impl Future<Output = F::Output> {
    TASK.scope(Task { name, peer: None }, future)
}

/// The same for a future that serves `peer`.
pub(crate) fn serving<F: Future>(
    name: &'static str,
    peer: Arc<Peer>,
    future: F,
) -> impl Future<Output = F::Output> {
    TASK.scope(Task { name, peer: Some(peer) }, future)
}

/// Runs `work` on another thread, because one thread runs all tasks: work that blocks, or takes milliseconds, would hold up
/// every connection. If it panics, so does this task.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let task = TASK.try_with(Task::clone).ok();
    let done = spawn_blocking(move || match task {
        Some(task) => TASK.sync_scope(task, work),
        None => work(),
    });
    match done.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => std::future::pending().await, // the runtime is shutting down, and drops this task
    }
}

/// The panics since the process started.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// One panic.
struct Report {
    task: String,
    peer: Option<Arc<Peer>>,
    location: String,
    text: String,
}

/// The thread that logs panics.
pub struct PanicLog(mpsc::Sender<Message>);

enum Message {
    Report(Report),
    Flush(mpsc::Sender<()>),
}

/// Logs and counts each panic from now on. A thread of its own writes to the log, since the thread that panics may hold a
/// lock of the log.
///
/// # Errors
/// The thread can't be started.
pub fn install_hook() -> std::io::Result<PanicLog> {
    let (sender, messages) = mpsc::channel();
    std::thread::Builder::new().name("panics".to_owned()).spawn(move || {
        for message in messages {
            match message {
                Message::Report(report) => report.log(),
                Message::Flush(done) => drop(done),
            }
        }
    })?;
    let reports = sender.clone();
    std::panic::set_hook(Box::new(move |info| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let report = Report::new(info);
        if let Err(mpsc::SendError(Message::Report(report))) = reports.send(Message::Report(report)) {
            let _ = writeln!(
                std::io::stderr(),
                "{} panicked at {}: {}",
                report.task,
                report.location,
                report.text
            );
        }
    }));
    Ok(PanicLog(sender))
}

impl PanicLog {
    /// Waits until every panic so far is in the log, for at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, written) = mpsc::channel();
        if self.0.send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(limit); // an error: the thread has reached and dropped `done`
        }
    }
}

impl Report {
    fn new(info: &PanicHookInfo<'_>) -> Self {
        let thread = || format!("thread {}", std::thread::current().name().unwrap_or("without a name"));
        let task = TASK.try_with(Task::clone).ok();
        Report {
            task: task.as_ref().map_or_else(thread, |task| task.name.to_owned()),
            peer: task.and_then(|task| task.peer),
            location: info.location().map(ToString::to_string).unwrap_or_default(),
            text: text(info.payload()),
        }
    }

    fn log(&self) {
        let Report { task, peer, location, text } = self;
        let peer = peer.as_ref().map(tracing::field::display);
        tracing::error!(
            task,
            peer,
            location,
            text,
            "a task panicked: this is a fault in the program, please report it"
        );
    }
}

/// The text of a panic, without quotes of content: the standard library quotes a text that it could not slice, which may
/// come from a body.
fn text(payload: &(dyn Any + Send)) -> String {
    let text = match payload.downcast_ref::<String>() {
        Some(text) => text,
        None => payload.downcast_ref::<&str>().copied().unwrap_or("(no text)"),
    };
    let quoted = [" of `", " when slicing `"].iter().filter_map(|before| text.find(before)).min();
    match quoted {
        Some(at) => text.chars().take(at.min(TEXT_MAX)).chain(" [redacted]".chars()).collect(),
        None => text.chars().take(TEXT_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(panics: impl FnOnce() + std::panic::UnwindSafe) -> String {
        text(&*std::panic::catch_unwind(panics).unwrap_err())
    }

    #[tokio::test]
    async fn work_off_the_thread_belongs_to_its_task() {
        let name = || TASK.with(|task| (task.name, std::thread::current().id()));
        let (task, thread) = named("planted", off_thread(name)).await;
        assert_eq!(task, "planted");
        assert_ne!(thread, std::thread::current().id());
        let panicked = tokio::spawn(off_thread(|| panic!("planted"))).await.unwrap_err();
        assert_eq!(text(&*panicked.into_panic()), "planted");
    }

    #[test]
    #[allow(clippy::string_slice, reason = "the test is about the text of such a panic")]
    fn panic_text_quotes_no_content() {
        let body = std::hint::black_box("a sécret body".to_owned());
        let (inside, beyond) = (body.clone(), body.clone());
        for text in
            [text_of(move || drop(inside[..4].to_owned())), text_of(move || drop(beyond[99..].to_owned())), {
                let (from, to) = std::hint::black_box((5, 2));
                text_of(move || drop(body[from..to].to_owned()))
            }]
        {
            assert!(text.ends_with(" [redacted]") && !text.contains("cret"), "{text}");
        }
        assert_eq!(text_of(|| panic!("plain")), "plain");
        assert_eq!(text_of(|| panic!("with {}", 1)), "with 1");
        assert_eq!(text_of(|| panic!("{}", "x".repeat(1000))).len(), TEXT_MAX);
    }
}
