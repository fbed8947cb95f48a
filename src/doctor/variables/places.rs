//! The files of service managers.

use std::io::Read;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) enum Setting {
    /// It sets the variable to this value.
    Value(PathBuf, String),
    /// It starts Ollama without the variable.
    Without(PathBuf),
    /// It may not be read.
    Unread(PathBuf),
}

/// The most that is read of a file. Files of this kind have less than a hundredth of it.
const FILE_MAX: u64 = 1 << 20;

/// The text of a file. Fails at once for what is no file, such as a pipe without a writer, and for a larger file.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("no regular file"));
    }
    let mut text = String::new();
    let read = file.take(FILE_MAX + 1).read_to_string(&mut text)? as u64;
    if read > FILE_MAX { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        assert_eq!(read(&at("file")).unwrap(), "text");
        std::fs::write(at("large"), vec![b'x'; FILE_MAX as usize + 1]).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        for name in ["large", "pipe", "endless", "."] {
            assert!(read(&at(name)).is_err(), "{name}");
        }
    }
}
