//! What becomes of a panic: it is logged with the task that it ended, and counted. Only a fault in this
//! program causes one. It ends the task: for a connection the connection, for a part that the proxy
//! can't do without the process (`run::tasks`).

use std::any::Any;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::peer::Peer;

tokio::task_local! {
    static TASK: Task;
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The longest text of a panic that is logged, in characters.
const TEXT_MAX: usize = 200;

/// What a task does, for the log.
#[derive(Debug, Clone)]
struct Task {
    name: &'static str,
    peer: Option<Arc<Peer>>,
}

/// `future`, whose panic is logged under this name.
pub(crate) fn named<F: Future>(name: &'static str, future: F) -> impl Future<Output = F::Output> {
    TASK.scope(Task { name, peer: None }, future)
}

/// The same for one that serves `peer`.
pub(crate) fn serving<F: Future>(
    name: &'static str,
    peer: Arc<Peer>,
    future: F,
) -> impl Future<Output = F::Output> {
    TASK.scope(Task { name, peer: Some(peer) }, future)
}

/// How many panics there were since the process started.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// A panic, on its way to the log.
struct Report {
    task: String,
    peer: Option<Arc<Peer>>,
    location: String,
    text: String,
}

/// Where panics are reported.
pub struct PanicLog(mpsc::Sender<Message>);

enum Message {
    Report(Report),
    Flush(mpsc::Sender<()>),
}

/// From now on each panic is logged and counted. A thread of its own writes to the log, as the one that
/// panics may hold a lock of the log's.
///
/// # Errors
/// There is no such thread.
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
            let _ = written.recv_timeout(limit); // which fails once it is dropped, that is, reached
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

/// What was said of a panic. The standard library quotes the text that it could not cut, which may be of a
/// body: not that.
fn text(payload: &(dyn Any + Send)) -> String {
    let said = match payload.downcast_ref::<String>() {
        Some(text) => text,
        None => payload.downcast_ref::<&str>().copied().unwrap_or("(no text)"),
    };
    let quoted = [" of `", " when slicing `"].iter().filter_map(|before| said.find(before)).min();
    match quoted {
        Some(at) => said.chars().take(at.min(TEXT_MAX)).chain(" [redacted]".chars()).collect(),
        None => said.chars().take(TEXT_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text_of: impl FnOnce() + std::panic::UnwindSafe) -> String {
        text(&*std::panic::catch_unwind(text_of).unwrap_err())
    }

    #[test]
    #[allow(clippy::string_slice, reason = "to see what the standard library says")]
    fn panic_text_quotes_no_content() {
        let body = std::hint::black_box("a sécret body".to_owned());
        let (cut, far) = (body.clone(), body.clone());
        for said in [of(move || drop(cut[..4].to_owned())), of(move || drop(far[99..].to_owned())), {
            let (from, to) = std::hint::black_box((5, 2));
            of(move || drop(body[from..to].to_owned()))
        }] {
            assert!(said.ends_with(" [redacted]") && !said.contains("cret"), "{said}");
        }
        assert_eq!(of(|| panic!("plain")), "plain");
        assert_eq!(of(|| panic!("with {}", 1)), "with 1");
        assert_eq!(of(|| panic!("{}", "x".repeat(1000))).len(), TEXT_MAX);
    }
}
