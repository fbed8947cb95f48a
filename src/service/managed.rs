//! A program under a service manager: its names and files.

use std::path::PathBuf;

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
}
