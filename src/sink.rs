//! Writes the lines of the diagnostics, the access log and the journal. Each sink has a bounded queue and a thread that
//! writes to a file or to standard error. The task that pushes a line never waits for a disk or a pipe, and never gets
//! an error. A lost line is counted and reported. Once writing works again, a notice in the output says how many lines
//! are missing at that place.
//!
//! So every request has a record as long as the disk keeps up. The queue holds 4 MiB; lines beyond that are lost and
//! counted. Waiting instead would stop the proxy whenever a disk hangs.

mod notice;
mod output;
mod queue;
mod state;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use queue::Queue;

pub use notice::{Notice, in_json, in_text};
pub use output::{Output, SinkOptions};
pub use state::SinkState;

/// A queue of lines. Lines in the queue when it is dropped are still written.
pub struct Sink(Arc<Queue>);

impl Sink {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(options: SinkOptions, output: impl Output) -> io::Result<Self> {
        let sink = Sink(Arc::new(Queue::new(options)));
        let queue = Arc::clone(&sink.0);
        let name = format!("write-{}", queue.options.name);
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

    /// The state of the sink.
    pub fn state(&self) -> SinkState {
        self.0.state()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// tracing-subscriber writes one event with each call.
impl io::Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sinks of a process.
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
