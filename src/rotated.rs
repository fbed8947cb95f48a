//! Files that are appended to for years. A file that reaches its maximum size is set aside under the time in UTC, and
//! expired ones are removed. Mode 0600.

mod file;
mod name;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

pub use file::{RotatedFile, write_line};

/// The maximum number of files that were set aside. The oldest are removed first. It bounds the disk space that one
/// log can take, so that a peer that causes many lines can't fill the disk.
const FILES_MAX: usize = 100;

/// When a file is set aside, and for how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The maximum size in bytes, at least 1. Lines are not split, so a file may exceed it by one line.
    pub max_size: usize,
    /// The maximum age of a file that was set aside. It is removed when the next file is set aside after that.
    pub max_age: Duration,
}

/// Opens the file at `path` for reading, after its older files, the oldest first. Each line is in exactly one of them,
/// even if another process sets the file aside at the same time.
///
/// # Errors
/// One can't be opened or is no regular file, or there is none.
pub fn read(path: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let names = || {
        let all = name::resolve(path).map_or(Ok(Vec::new()), |path| name::set_aside(&path))?;
        let paths = all.into_iter().map(|(_, path)| path);
        // Neither a folder nor a pipe.
        io::Result::Ok(
            paths.filter(|path| path.metadata().map_or(true, |of| of.is_file())).collect::<Vec<_>>(),
        )
    };
    let mut before = names()?;
    loop {
        let open = |path: &Path| Ok((path.to_owned(), open_regular(path)?));
        let mut opened: io::Result<Vec<_>> = before.iter().map(|path| open(path)).collect();
        match open(path) {
            // The file was set aside, and the disk had no room for the next one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !before.is_empty() => {}
            last => opened = opened.and_then(|mut all| last.map(|last| all.push(last)).map(|()| all)),
        }
        let now = names()?;
        // Otherwise a file was set aside or removed meanwhile, and one may be missing or listed twice.
        if now == before {
            return opened;
        }
        before = now;
    }
}

/// Opens a regular file for reading. Anything else is an error at once: a pipe without a writer would block.
fn open_regular(path: &Path) -> io::Result<File> {
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    if !file.metadata()?.is_file() {
        let reason = "it is not a regular file, so nothing can be read back from it";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
