//! Where lines are written to, and how a sink reports its faults.

use std::io;

use super::{Notice, SinkState};

/// Something that lines are written to.
pub trait Output: Send + 'static {
    /// Writes `lines`, each with its end. An error does not end the output: the next line is tried.
    ///
    /// # Errors
    /// A line was not written, or only in part, and none after it.
    fn append(&mut self, lines: &[u8]) -> Result<(), Unwritten>;

    /// Why the file can't be set aside and so grows; no line is lost.
    fn grows(&self) -> Option<&str> {
        None
    }

    /// Which expired file could not be removed, and why.
    fn unremoved(&self) -> Option<&str> {
        None
    }
}

/// Why a line could not be written.
#[derive(Debug)]
pub struct Unwritten {
    /// How many bytes of the lines were written. The next byte belongs to the line that is lost.
    pub written: usize,
    /// The reason.
    pub error: io::Error,
}

impl From<io::Error> for Unwritten {
    /// Nothing was written.
    fn from(error: io::Error) -> Self {
        Unwritten { written: 0, error }
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
