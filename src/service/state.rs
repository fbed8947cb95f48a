//! What a manager says of a service.

use std::path::PathBuf;

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    /// The file that the manager reads; none if the service is not installed.
    pub file: Option<PathBuf>,
    /// Whether it runs.
    pub run: RunState,
    /// How it ended the last time, as far as the manager remembers.
    pub last: Option<LastExit>,
}

/// Whether a service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// As this process.
    Running(u32),
    /// No; the manager's word for what it does instead.
    Stopped(String),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastExit {
    /// With this exit code.
    Code(u8),
    /// By this signal.
    Signal(String),
}

impl ServiceState {
    /// Whether it is installed.
    pub fn is_installed(&self) -> bool {
        self.file.is_some()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.run, RunState::Running(_))
    }

    /// One of which there is nothing.
    pub(super) fn absent() -> ServiceState {
        ServiceState { file: None, run: RunState::Stopped("not installed".to_owned()), last: None }
    }
}
