//! The thread that writes what is in the queue.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;

use super::queue::{Job, Queue};
use super::{Notice, Output, Unwritten};

/// Writes until the queue is closed and empty.
pub(super) fn write(queue: &Arc<Queue>, mut output: impl Output) {
    let mut gap = Gap::default();
    while let Some(Job { lost, lines }) = queue.next(gap.lost > 0) {
        gap.lost += lost;
        let written = write_job(queue, &mut output, &mut gap, &lines);
        queue.done(written, output.grows().map(str::to_owned), output.unremoved().map(str::to_owned));
        queue.pause();
    }
}

/// Writes the lines of a job. After one that fails, the next is tried.
///
/// # Errors
/// How many lines were lost, and why the last of them was.
fn write_job(
    queue: &Queue,
    output: &mut impl Output,
    gap: &mut Gap,
    mut lines: &[u8],
) -> Result<(), (u64, String)> {
    let mut outcome = Ok(());
    loop {
        // A panic loses a line, like an error, and the thread goes on.
        let written = catch_unwind(AssertUnwindSafe(|| {
            gap.close(queue, output)?;
            if lines.is_empty() { Ok(()) } else { output.append(lines) }
        }));
        let panicked = |_| Err(io::Error::other("the writer has panicked").into());
        let Err(Unwritten { written, error }) = written.unwrap_or_else(panicked) else { return outcome };
        // Without a line, the notice failed.
        let lost = u64::from(!lines.is_empty());
        gap.lost += lost;
        gap.why = error.to_string();
        let before = outcome.err().map_or(0, |(lost, _)| lost);
        outcome = Err((before + lost, gap.why.clone()));
        lines = after_line(&lines[written.min(lines.len())..]);
        if lines.is_empty() {
            return outcome;
        }
    }
}

/// What follows the first line.
fn after_line(lines: &[u8]) -> &[u8] {
    let end = lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1);
    &lines[end..]
}

/// Lost lines without a notice yet.
#[derive(Default)]
struct Gap {
    lost: u64,
    why: String,
}

impl Gap {
    /// Writes the notice, if lines were lost.
    ///
    /// # Errors
    /// It could not be written, and counts as no byte of the lines that follow.
    fn close(&mut self, queue: &Queue, output: &mut impl Output) -> io::Result<()> {
        if self.lost > 0 {
            let why = if self.why.is_empty() { super::queue::FULL } else { &self.why };
            let notice = Notice { at: Timestamp::now(), lost: self.lost, why };
            let line = format!("{}\n", (queue.options.notice)(&notice));
            output.append(line.as_bytes()).map_err(|unwritten| unwritten.error)?;
            *self = Gap::default();
        }
        Ok(())
    }
}
