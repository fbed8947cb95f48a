//! Where lines are written to, and how a sink reports its faults.

use std::io;

use super::{Notice, SinkState};

/// Something that lines are written to.
pub trait Output: Send + 'static {
    /// Writes `line`, which includes its end. An error does not end the output: the next line is tried.
    ///
    /// # Errors
    /// The line was not written, or only in part.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;

    /// Why the file can't be set aside and so grows; no line is lost.
    fn grows(&self) -> Option<&str> {
        None
    }

    /// Which expired file could not be removed, and why.
    fn unremoved(&self) -> Option<&str> {
        None
    }
}

/// The name of a sink, and the callbacks with which it reports faults.
pub struct SinkOptions {
    /// `log`, `access` or `journal`.
    pub name: &'static str,
    /// Where its lines go, for people.
    pub to: String,
    /// Formats the notice of lost lines, without its end.
    pub notice: fn(&Notice<'_>) -> String,
    /// Reports a new fault. Called on a thread of its own, at most once a minute.
    pub report: Box<dyn Fn(&SinkState) + Send + Sync>,
}
