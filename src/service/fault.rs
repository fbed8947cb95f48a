//! The faults of a service.

use std::io;
use std::path::PathBuf;

/// Why a service could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum ServiceFault {
    /// The manager's command can't be started.
    #[error("{tool} can't be started: {reason}: check that it is installed and in PATH")]
    ToolMissing {
        /// The command.
        tool: &'static str,
        /// The system's error.
        reason: io::Error,
    },
    /// The manager's command failed.
    #[error("the service manager refused: {message} (`{command}` ended with {code}){hint}")]
    Refused {
        /// The command with its arguments.
        command: String,
        /// Its exit code.
        code: String,
        /// Its error message.
        message: String,
        /// The usual cause and the way out.
        hint: &'static str,
    },
    /// The service does not stop.
    #[error("{name} still runs {seconds} s after it was stopped: wait and try again")]
    StillRunning {
        /// The service's name.
        name: &'static str,
        /// The time since the stop.
        seconds: u64,
    },
    /// The manager's file can't be written or removed.
    #[error("{path} can't be written or removed: {reason}: check the permissions of its folder")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// A path that the manager's file can't hold.
    #[error(
        "{path:?} has characters that {file} can't hold: choose a path in UTF-8 without control characters, quotation marks and backslashes"
    )]
    UnsupportedPath {
        /// The path.
        path: PathBuf,
        /// The file.
        file: PathBuf,
    },
}
