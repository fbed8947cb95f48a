//! What a manager says of a service.

use std::path::PathBuf;

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The file that the manager reads; none if the service is not installed.
    pub file: Option<PathBuf>,
    /// Whether it runs.
    pub run: Run,
    /// How it ended the last time, as far as the manager remembers.
    pub last: Option<Last>,
}

/// Whether a service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// As this process.
    Pid(u32),
    /// No; the manager's word for what it does instead.
    No(String),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Last {
    /// With this exit code.
    Code(u8),
    /// By this signal.
    Signal(String),
}

impl State {
    /// Whether it is installed.
    pub fn is_installed(&self) -> bool {
        self.file.is_some()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.run, Run::Pid(_))
    }

    /// One of which there is nothing.
    pub(super) fn absent() -> State {
        State { file: None, run: Run::No("not installed".to_owned()), last: None }
    }
}
