//! Where the lines of the log and of the journal go: into a bounded queue, and from there to a file or to standard error,
//! by a thread of each sink. The task that pushes a line never waits for a disk or a pipe, and never sees an error. A
//! lost line is counted and reported; once writing works again, a line in the output says how many lines are missing
//! at that place.
//!
//! The queue keeps the access log's promise, a record for each request, as long as the output takes lines faster than
//! requests end. If it does not for 4 MiB of lines, the rest is lost and counted. The alternative, to wait, would stop
//! the proxy whenever a disk hangs.

mod notice;
mod queue;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use queue::Queue;

pub use notice::{Notice, in_json, in_text};
pub use queue::SinkState;

/// What lines are written to.
pub trait Output: Send + 'static {
    /// Writes a line, its end included. After an error the next one is tried all the same.
    ///
    /// # Errors
    /// It is not written whole.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;

    /// Why the file is larger than it should be; that loses nothing.
    fn grows(&self) -> Option<&str> {
        None
    }

    /// Which file that is too old could not be removed, and why.
    fn unremoved(&self) -> Option<&str> {
        None
    }
}

/// What a sink is called, and how it says what is wrong.
pub struct Labels {
    /// `log`, `access` or `journal`.
    pub name: &'static str,
    /// Where its lines go, for people.
    pub to: String,
    /// Makes the line, without its end, that stands for those that are lost.
    pub notice: fn(&Notice<'_>) -> String,
    /// Reports a new fault. Called on a thread of its own, at most once a minute.
    pub report: Box<dyn Fn(&SinkState) + Send + Sync>,
}

/// Takes lines. Lines that are queued when it is dropped are still written.
pub struct Sink(Arc<Queue>);

impl Sink {
    /// Begins to write to `output`.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(labels: Labels, output: impl Output) -> io::Result<Self> {
        let sink = Sink(Arc::new(Queue::new(labels)));
        let queue = Arc::clone(&sink.0);
        let name = format!("write-{}", queue.labels.name);
        std::thread::Builder::new().name(name).spawn(move || writer::write(&queue, output))?;
        Ok(sink)
    }

    /// Queues `line`, its end included. If the queue is full, the line is lost and counted.
    pub fn push(&self, line: &[u8]) {
        self.0.push(line);
    }

    /// Waits up to `within` until every queued line is written. Returns whether the queue is empty.
    pub fn flush(&self, within: Duration) -> bool {
        self.0.flush(within)
    }

    /// What has become of its lines.
    pub fn state(&self) -> SinkState {
        self.0.state()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// As tracing-subscriber writes: an event with each call.
impl io::Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Those of a process.
#[derive(Clone)]
pub struct Sinks {
    /// The diagnostics.
    pub log: Arc<Sink>,
    /// The access log. `None`: it is switched off.
    pub access: Option<Arc<Sink>>,
    /// The journal.
    pub journal: Arc<Sink>,
}

impl Sinks {
    /// The state of each sink.
    pub fn states(&self) -> Vec<SinkState> {
        let sinks = [&self.log].into_iter().chain(&self.access).chain([&self.journal]);
        sinks.map(|sink| sink.state()).collect()
    }

    /// See [`Sink::flush`]. The diagnostics come last, since the other two report their faults there.
    pub fn flush(&self, within: Duration) {
        for sink in self.access.iter().chain([&self.journal, &self.log]) {
            sink.flush(within);
        }
    }
}

#[cfg(test)]
mod tests;
