//! Where a variable of Ollama's environment is set for its next start: units of systemd, launchd's agents, launchd.

mod agents;
mod units;

use std::path::{Path, PathBuf};

/// Where the managers' files are.
pub(super) struct Places {
    /// `/`, except in tests.
    pub(super) root: PathBuf,
    /// The account's home folder.
    pub(super) home: PathBuf,
    /// The folder with systemd's configuration for this account.
    pub(super) config_home: PathBuf,
}

/// What a manager's file says of a variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// It sets the variable to this value.
    Value(PathBuf, String),
    /// It starts Ollama without the variable.
    Without(PathBuf),
    /// It may not be read.
    Unread(PathBuf),
}

/// Every setting of a variable in the files of service managers.
pub(super) fn settings(places: &Places, variable: &str) -> Vec<Setting> {
    let mut found = units::settings(places, variable);
    found.extend(agents::settings(places, variable));
    found
}

/// The value that launchd gives to the applications of this session, such as Ollama's; macOS only.
pub(super) fn of_launchd(variable: &str) -> Option<String> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let output = std::process::Command::new("launchctl").args(["getenv", variable]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|value| !value.is_empty())
}

/// The files in these folders, in this order; files of the same name only from the first folder.
fn files(folders: &[PathBuf], is_wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| is_wanted(path)) {
            if !found.iter().any(|earlier| earlier.file_name() == path.file_name()) {
                found.push(path);
            }
        }
    }
    found
}
