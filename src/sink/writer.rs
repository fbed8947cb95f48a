//! The thread that writes what is in the queue.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;

use super::queue::{Job, Queue};
use super::{Notice, Output};

/// Writes until the queue is closed and empty.
pub(super) fn write(queue: &Arc<Queue>, mut output: impl Output) {
    let mut gap = Gap::default();
    while let Some(Job { lost, line }) = queue.next(gap.lost > 0) {
        gap.lost += lost;
        // A panic loses the line, like an error, and the thread goes on.
        let written = catch_unwind(AssertUnwindSafe(|| {
            gap.close(queue, &mut output).and_then(|()| match &*line {
                [] => Ok(()),
                line => output.append(line),
            })
        }));
        let written = written.unwrap_or_else(|_| Err(io::Error::other("the writer has panicked")));
        let lost = written.map_err(|error| {
            let lost = u64::from(!line.is_empty());
            gap.lost += lost;
            gap.why = error.to_string();
            (lost, gap.why.clone())
        });
        queue.done(lost, output.grows().map(str::to_owned), output.unremoved().map(str::to_owned));
    }
}

/// Lost lines without a notice yet.
#[derive(Default)]
struct Gap {
    lost: u64,
    why: String,
}

impl Gap {
    /// Writes the notice, if lines were lost.
    fn close(&mut self, queue: &Queue, output: &mut impl Output) -> io::Result<()> {
        if self.lost > 0 {
            let why = if self.why.is_empty() { super::queue::FULL } else { &self.why };
            let notice = Notice { at: Timestamp::now(), lost: self.lost, why };
            output.append(format!("{}\n", (queue.options.notice)(&notice)).as_bytes())?;
            *self = Gap::default();
        }
        Ok(())
    }
}
