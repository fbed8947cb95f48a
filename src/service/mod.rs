//! Services that keep the proxy running, and Ollama on request: with launchd on macOS, with systemd on Linux, always in
//! the account of the caller. Their files come from `launchd/` and `systemd/`.

mod fault;
mod launchd;
mod render;
mod state;
mod systemd;
mod tool;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub use fault::ServiceFault;
pub use render::TemplateValues;
pub use state::{LastExit, RunState, ServiceState};

/// A service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Manager {
    /// The one of macOS.
    Launchd,
    /// The one of Linux.
    Systemd,
}

impl Manager {
    /// The one of this system.
    pub const fn native() -> Manager {
        if cfg!(target_os = "macos") { Manager::Launchd } else { Manager::Systemd }
    }
}

/// A program to keep running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Ollama on loopback.
    Ollama,
    /// The proxy.
    Proxy,
}

/// The account that owns the services.
#[derive(Debug, Clone)]
pub struct Account {
    /// The home folder.
    pub home: PathBuf,
    /// The user id, never root's.
    pub uid: u32,
    /// The folder with systemd's configuration for this account.
    pub config_home: PathBuf,
}

impl Account {
    /// The account of this process; `None` if it has no home folder.
    pub fn of_process() -> Option<Account> {
        let home = dirs::home_dir()?;
        // A relative path is ignored, as systemd does (XDG Base Directory Specification).
        let config_home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let config_home = config_home.unwrap_or_else(|| home.join(".config"));
        Some(Account { home, uid: rustix::process::geteuid().as_raw(), config_home })
    }
}

/// One program under one manager in one account. `Service` alone is a Tailscale Service.
#[derive(Debug, Clone)]
pub struct ManagedService {
    /// The owner.
    pub account: Account,
    /// The manager.
    pub manager: Manager,
    /// The program.
    pub part: Part,
}

impl ManagedService {
    /// The manager's name for the service.
    pub fn name(&self) -> &'static str {
        match (self.manager, self.part) {
            (Manager::Launchd, Part::Ollama) => "com.remote-ollama-proxy.ollama",
            (Manager::Launchd, Part::Proxy) => "com.remote-ollama-proxy",
            (Manager::Systemd, Part::Ollama) => "remote-ollama-proxy-ollama.service",
            (Manager::Systemd, Part::Proxy) => "remote-ollama-proxy.service",
        }
    }

    /// The file that the manager reads.
    pub fn file(&self) -> PathBuf {
        match self.manager {
            Manager::Launchd => {
                self.account.home.join("Library/LaunchAgents").join(format!("{}.plist", self.name()))
            }
            Manager::Systemd => self.account.config_home.join("systemd/user").join(self.name()),
        }
    }

    /// The log file; `None` if the manager stores the log.
    pub fn log_file(&self) -> Option<PathBuf> {
        let name = match self.part {
            Part::Ollama => "ollama.log",
            Part::Proxy => "remote-ollama-proxy.log",
        };
        (self.manager == Manager::Launchd).then(|| self.account.home.join("Library/Logs").join(name))
    }

    /// How a user reads the log: a file or a command.
    pub fn log(&self) -> String {
        match self.log_file() {
            Some(file) => file.display().to_string(),
            None => format!("journalctl --user --unit {}", self.name().trim_end_matches(".service")),
        }
    }

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

    /// Whether it runs without a login of the account. LaunchAgents never do.
    pub fn outlives_login(&self) -> bool {
        self.manager == Manager::Systemd && systemd::lingers(self.account.uid)
    }
}

/// Writes a manager's file and creates its folders. launchd refuses a file that other users may write.
fn write(path: &Path, text: &str) -> Result<(), ServiceFault> {
    let written = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    };
    written().map_err(|reason| ServiceFault::File { path: path.to_owned(), reason })
}

/// Removes a manager's file. Returns whether it existed.
fn remove(path: &Path) -> Result<bool, ServiceFault> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(reason) => Err(ServiceFault::File { path: path.to_owned(), reason }),
    }
}
