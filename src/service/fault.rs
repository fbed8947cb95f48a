//! What can go wrong with a service.

use std::io;
use std::path::PathBuf;

/// Why a service is not as somebody wants it.
#[derive(Debug, thiserror::Error)]
pub enum ServiceFault {
    /// The manager's command is not there.
    #[error("{tool} can't be started: {reason}: is it in PATH, and is this a system with {tool}?")]
    ToolMissing {
        /// The command.
        tool: &'static str,
        /// The system's words.
        reason: io::Error,
    },
    /// The manager said no.
    #[error("the service manager refuses: {said}{hint} (`{command}` failed with {code})")]
    Refused {
        /// What was asked.
        command: String,
        /// Its exit code.
        code: String,
        /// What it said.
        said: String,
        /// The usual cause, and the way out.
        hint: &'static str,
    },
    /// It does not end.
    #[error("{name} was told to stop {seconds} s ago and still runs: wait and try again")]
    StillRunning {
        /// The service's name.
        name: &'static str,
        /// How long it was waited.
        seconds: u64,
    },
    /// Its file can't be written, or not be removed.
    #[error("{path} can't be written: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: io::Error,
    },
    /// A path that no manager's file can hold.
    #[error(
        "{path:?} has characters that {file} can't hold: choose one in UTF-8 without control characters, quotation marks and backslashes"
    )]
    UnsupportedPath {
        /// The path.
        path: PathBuf,
        /// The file.
        file: PathBuf,
    },
}
