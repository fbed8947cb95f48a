//! The state of a service.

use std::path::PathBuf;

/// The state of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    /// The file that the manager reads; `None` if the service is not installed.
    pub file: Option<PathBuf>,
    /// Whether it runs.
    pub run: RunState,
    /// How it ended last, if the manager knows.
    pub last: Option<LastExit>,
}

/// Whether a service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// With this process id.
    Running(u32),
    /// It does not run; the manager's word for its state.
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

    /// The state of a service that is not installed.
    pub(super) fn absent() -> ServiceState {
        ServiceState { file: None, run: RunState::Stopped("not installed".to_owned()), last: None }
    }
}
