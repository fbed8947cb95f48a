//! Files that are appended to for years: when one has grown to its size it is set aside under the time
//! of day, and those that are too old are removed. Mode 0600.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use file_rotate::compression::Compression;
use file_rotate::suffix::{AppendTimestamp, FileLimit};
use file_rotate::{ContentLimit, FileRotate};

/// When a file is set aside, and for how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes, at least 1. A line is never divided, so a file may be larger by one.
    pub max_size: usize,
    /// How long a file that was set aside is kept. It is removed when the next is.
    pub max_age: Duration,
}

/// Opens the file at `path` for appending, made if absent.
///
/// # Errors
/// It can't be opened or made.
pub fn open(path: &Path, rotation: Rotation) -> io::Result<impl Write + Send + Sync + use<>> {
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true).mode(0o600);
    // The library only panics or is silent where this fails.
    if path.parent().is_none_or(|folder| !folder.is_dir()) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the folder does not exist: make it"));
    }
    options.open(path)?;
    let too_old = chrono::Duration::from_std(rotation.max_age).unwrap_or(chrono::Duration::MAX);
    Ok(FileRotate::new(
        path,
        AppendTimestamp::default(FileLimit::Age(too_old)),
        ContentLimit::BytesSurpassed(rotation.max_size.saturating_sub(1).max(1)),
        Compression::None,
        Some(options),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn no_line_is_lost_or_divided() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut file = open(&path, Rotation { max_size: 100, max_age: Duration::from_secs(3600) }).unwrap();
        for n in 0..50 {
            file.write_all(format!("line {n:03}\n").as_bytes()).unwrap();
        }
        let mut files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(files.len() > 3, "{files:?}");
        files.sort();
        let mut lines = Vec::new();
        for file in files {
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            lines.extend(std::fs::read_to_string(file).unwrap().lines().map(str::to_owned));
        }
        lines.sort();
        assert_eq!(lines, (0..50).map(|n| format!("line {n:03}")).collect::<Vec<_>>());
    }

    #[test]
    fn an_old_one_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("a.log.20200101T000000");
        std::fs::write(&old, "x").unwrap();
        let mut file =
            open(&dir.path().join("a.log"), Rotation { max_size: 1, max_age: Duration::from_secs(3600) })
                .unwrap();
        for _ in 0..3 {
            file.write_all(b"line\n").unwrap();
        }
        assert!(!old.exists());
    }

    #[test]
    fn what_can_not_be_opened_is_an_error() {
        let rotation = Rotation { max_size: 1, max_age: Duration::ZERO };
        assert!(open("/nowhere/a.log".as_ref(), rotation).is_err());
        assert!(open("/".as_ref(), rotation).is_err());
    }
}
