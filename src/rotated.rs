//! Files that are appended to for years: when one has grown to its size it is set aside under the time
//! in UTC, and those that are too old are removed. Mode 0600.

mod file;
mod name;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use file::{RotatedFile, write_line};

/// When a file is set aside, and for how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes, at least 1. A line is never divided, so a file may be larger by one.
    pub max_size: usize,
    /// How long a file that was set aside is kept. Once older, it is removed when the next file is set aside.
    pub max_age: Duration,
}

/// Opens for reading what was set aside of the file at `path`, the oldest first, and that file itself. Whoever
/// writes may set it aside meanwhile: each line is in one of them all the same.
///
/// # Errors
/// One can't be opened, or there is none.
pub fn read(path: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let names = || {
        let all = name::resolve(path).map_or(Ok(Vec::new()), |path| name::set_aside(&path))?;
        let paths = all.into_iter().map(|(_, path)| path);
        // A directory can't be read, and a pipe would block.
        io::Result::Ok(
            paths.filter(|path| path.metadata().map_or(true, |of| of.is_file())).collect::<Vec<_>>(),
        )
    };
    let mut before = names()?;
    loop {
        let open = |path: &Path| Ok((path.to_owned(), File::open(path)?));
        let mut opened: io::Result<Vec<_>> = before.iter().map(|path| open(path)).collect();
        match open(path) {
            // The last one was set aside, and there was no room for the next.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !before.is_empty() => {}
            last => opened = opened.and_then(|mut all| last.map(|last| all.push(last)).map(|()| all)),
        }
        let now = names()?;
        // If another was set aside or removed in between, a file may be missing or there twice.
        if now == before {
            return opened;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests;
