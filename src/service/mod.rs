//! Keeping the proxy running, and Ollama on request: by launchd on macOS, by systemd on Linux, always
//! in the account of whoever asks. The files that they read are those of `launchd/` and `systemd/`.

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

/// What starts and watches processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Manager {
    /// macOS's.
    Launchd,
    /// Linux's.
    Systemd,
}

impl Manager {
    /// This system's own.
    pub const fn native() -> Manager {
        if cfg!(target_os = "macos") { Manager::Launchd } else { Manager::Systemd }
    }
}

/// What can be kept running, in the order in which it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Ollama on loopback.
    Ollama,
    /// The proxy.
    Proxy,
}

/// Whose services are meant.
#[derive(Debug, Clone)]
pub struct Account {
    /// The home folder.
    pub home: PathBuf,
    /// The user's id, not root's.
    pub uid: u32,
    /// Where systemd looks for the configuration of its users.
    pub config_home: PathBuf,
}

impl Account {
    /// The account of this process; none if it has no home folder.
    pub fn of_process() -> Option<Account> {
        let home = dirs::home_dir()?;
        // systemd passes over a relative one, too (XDG Base Directory Specification).
        let config_home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let config_home = config_home.unwrap_or_else(|| home.join(".config"));
        Some(Account { home, uid: rustix::process::geteuid().as_raw(), config_home })
    }
}

/// One of the two, under one manager, in one account.
#[derive(Debug, Clone)]
pub struct ManagedService {
    /// Whose it is.
    pub account: Account,
    /// What looks after it.
    pub manager: Manager,
    /// What it is.
    pub part: Part,
}

impl ManagedService {
    /// The name by which the manager knows it.
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

    /// The file that gets the log, where the manager does not keep it itself.
    pub fn log_file(&self) -> Option<PathBuf> {
        let name = match self.part {
            Part::Ollama => "ollama.log",
            Part::Proxy => "remote-ollama-proxy.log",
        };
        (self.manager == Manager::Launchd).then(|| self.account.home.join("Library/Logs").join(name))
    }

    /// Where the log is, as a person finds it.
    pub fn log(&self) -> String {
        match self.log_file() {
            Some(file) => file.display().to_string(),
            None => format!("journalctl --user --unit {}", self.name().trim_end_matches(".service")),
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// A path can't be written in it.
    pub fn render(&self, values: &TemplateValues) -> Result<String, ServiceFault> {
        render::render(self, values)
    }

    /// Has it run from now on and after each login; the same for one that is installed, with the
    /// new text. Says which file the manager reads.
    ///
    /// # Errors
    /// The file can't be written, or the manager is missing or refuses.
    pub fn install(&self, text: &str) -> Result<PathBuf, ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::install(self, text),
            Manager::Systemd => systemd::install(self, text),
        }
    }

    /// Stops it and takes it from the manager; whether there was anything to take.
    ///
    /// # Errors
    /// As for [`ManagedService::install`].
    pub fn uninstall(&self) -> Result<bool, ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::uninstall(self),
            Manager::Systemd => systemd::uninstall(self),
        }
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// The manager is missing or refuses.
    pub fn start(&self) -> Result<(), ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::start(self),
            Manager::Systemd => systemd::start(self),
        }
    }

    /// Stops it, until the next login or [`ManagedService::start`].
    ///
    /// # Errors
    /// The manager is missing or refuses.
    pub fn stop(&self) -> Result<(), ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::stop(self),
            Manager::Systemd => systemd::stop(self),
        }
    }

    /// What becomes of it.
    ///
    /// # Errors
    /// The manager is missing or refuses.
    pub fn state(&self) -> Result<ServiceState, ServiceFault> {
        match self.manager {
            Manager::Launchd => launchd::state(self),
            Manager::Systemd => systemd::state(self),
        }
    }

    /// Whether it goes on when the account's last login ends; launchd's never do.
    pub fn outlives_login(&self) -> bool {
        self.manager == Manager::Systemd && systemd::lingers(self.account.uid)
    }
}

/// Writes a manager's file, folders included. launchd takes none that others may write.
fn write(path: &Path, text: &str) -> Result<(), ServiceFault> {
    let written = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    };
    written().map_err(|reason| ServiceFault::File { path: path.to_owned(), reason })
}

/// Removes a manager's file; whether it was there.
fn remove(path: &Path) -> Result<bool, ServiceFault> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(reason) => Err(ServiceFault::File { path: path.to_owned(), reason }),
    }
}
