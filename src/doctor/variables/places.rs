//! The files of service managers.

use std::path::{Path, PathBuf};

/// Where the managers' files are.
pub(in crate::doctor) struct Places {
    /// `/`, except in tests.
    pub(in crate::doctor) root: PathBuf,
    /// The account's home folder.
    pub(in crate::doctor) home: PathBuf,
    /// The folder with systemd's configuration for this account.
    pub(in crate::doctor) config_home: PathBuf,
}

/// What a manager's file says of a variable.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::doctor) enum Setting {
    /// It sets the variable to this value.
    Value(PathBuf, String),
    /// It starts Ollama without the variable.
    Without(PathBuf),
    /// It may not be read.
    Unread(PathBuf),
}

/// The files in these folders, in this order; files of the same name only from the first folder.
pub(super) fn files(folders: &[PathBuf], is_wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
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
