//! Services that keep the proxy running, and Ollama on request: with launchd on macOS, with systemd on Linux, always in
//! the account of the caller. Their files come from `launchd/` and `systemd/`.

mod fault;
mod file;
mod launchd;
mod managed;
mod render;
mod sandbox;
mod state;
mod systemd;
mod tool;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use fault::ServiceFault;
pub use managed::{Account, ManagedService, Manager, Part};
pub use render::TemplateValues;
pub use sandbox::{Confinement, HIDDEN, Reach};
pub use state::{LastExit, RunState, ServiceState};

impl ManagedService {
    /// The text of the manager's file.
    ///
    /// # Errors
    /// The file can't hold a path.
    pub fn render(&self, values: &TemplateValues) -> Result<String, ServiceFault> {
        render::render(self, values)
    }

    /// Installs the service, or updates it, and starts it. Returns the file that the manager reads.
    ///
    /// # Errors
    /// The file can't be written, or the manager is missing or fails.
    pub fn install(&self, text: &str) -> Result<PathBuf, ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::install(self, text),
            Manager::Systemd => systemd::install(self, text),
        }
    }

    /// Confines the service to what it has to reach from its next start on, if the manager can; `None` if it has no such thing.
    ///
    /// # Errors
    /// The file of the manager can't be written.
    pub fn confine(&self, reach: &Reach) -> Result<Option<Confinement>, ServiceFault> {
        match self.manager {
            Manager::Launchd => Ok(None),
            Manager::Systemd => sandbox::confine(self, reach).map(Some),
        }
    }

    /// Undoes [`ManagedService::confine`], from the next start on.
    ///
    /// # Errors
    /// As for [`ManagedService::confine`].
    pub fn release(&self) -> Result<(), ServiceFault> {
        match self.manager {
            Manager::Launchd => Ok(()),
            Manager::Systemd => sandbox::release(self),
        }
    }

    /// Stops the service and removes its file. Returns whether it was installed.
    ///
    /// # Errors
    /// As for [`ManagedService::install`].
    pub fn uninstall(&self) -> Result<bool, ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::uninstall(self),
            Manager::Systemd => systemd::uninstall(self),
        }
    }

    /// Starts the service, unless it runs.
    ///
    /// # Errors
    /// The manager is missing or fails.
    pub fn start(&self) -> Result<(), ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::start(self),
            Manager::Systemd => systemd::start(self),
        }
    }

    /// Stops the service until the next login or [`ManagedService::start`].
    ///
    /// # Errors
    /// The manager is missing or fails.
    pub fn stop(&self) -> Result<(), ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::stop(self),
            Manager::Systemd => systemd::stop(self),
        }
    }

    /// The state of the service.
    ///
    /// # Errors
    /// The manager is missing or fails.
    pub fn state(&self) -> Result<ServiceState, ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::state(self),
            Manager::Systemd => systemd::state(self),
        }
    }

    /// The variables that the service gets from its manager, as far as they are known.
    pub fn variables(&self) -> BTreeMap<String, String> {
        match self.manager {
            Manager::Launchd => BTreeMap::new(),
            Manager::Systemd => systemd::variables(),
        }
    }

    /// Whether it runs without a login of the account. LaunchAgents never do.
    pub fn outlives_login(&self) -> bool {
        self.manager == Manager::Systemd && systemd::lingers(self.account.uid)
    }
}
