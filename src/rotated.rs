//! Files that are appended to for years: when one has grown to its size it is set aside under the time
//! of day, and those that are too old are removed. Mode 0600.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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

/// Opens for reading what was set aside of the file at `path`, the oldest first, and that file itself. Whoever
/// writes may set it aside meanwhile: each line is in one of them all the same.
///
/// # Errors
/// One can't be opened, or the file does not exist.
pub fn read(path: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut names = set_aside(path)?;
    loop {
        let all = names.iter().map(PathBuf::as_path).chain([path]);
        let opened: io::Result<Vec<_>> = all.map(|path| Ok((path.to_owned(), File::open(path)?))).collect();
        let now = set_aside(path)?;
        // If another was set aside or removed in between, a file may be missing or there twice.
        if now == names {
            return opened;
        }
        names = now;
    }
}

/// What was set aside of the file at `path`, the oldest first.
fn set_aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "the file does not exist");
    let (name, folder) = path.file_name().zip(path.parent()).ok_or_else(none)?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.file_name();
        let suffix = file.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let suffix = suffix.and_then(|suffix| str::from_utf8(suffix).ok()?.strip_prefix('.'));
        found.extend(suffix.and_then(when).map(|when| (when, folder.join(&file))));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// When a file was set aside, by its suffix, and which of those of that second it is.
fn when(suffix: &str) -> Option<(String, u32)> {
    let (time, number) = suffix.split_once('.').unwrap_or((suffix, "0"));
    chrono::NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S").ok()?;
    Some((time.to_owned(), number.parse().ok()?))
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
    fn all_are_read_in_the_order_in_which_they_were_written() {
        use std::io::Read;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(dir.path().join("a.log.20200101T000000"), "line 0\n").unwrap();
        for name in ["a.log.old", "a.log.20200101T000000.gz", "b.log.20200101T000000", "a.log2"] {
            std::fs::write(dir.path().join(name), "of somebody else\n").unwrap();
        }
        let mut file = open(&path, Rotation { max_size: 20, max_age: Duration::from_secs(1 << 32) }).unwrap();
        // More than ten in a second, of which 10 comes after 9.
        let lines: Vec<_> = (0..100).map(|n| format!("line {n}\n")).collect();
        lines.iter().skip(1).for_each(|line| file.write_all(line.as_bytes()).unwrap());
        let mut text = String::new();
        for (_, mut file) in read(&path).unwrap() {
            file.read_to_string(&mut text).unwrap();
        }
        assert_eq!(text, lines.concat());
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
