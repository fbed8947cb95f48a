//! Appends whole lines to one file, and sets it aside at its maximum size.
//!
//! This is written by hand because the known libraries lose lines without an error: file-rotate drops every line while
//! the file can't be opened, and panics if its folder is gone; tracing-appender prints a failed rotation to standard
//! error and has no limit of size. Neither detects that the path names another file or none, and both then write to a
//! file that was deleted.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::name::{SetAside, resolve, set_aside};
use super::{FILES_MAX, Rotation};
use crate::sink::Output;

/// A file that lines are appended to. It is opened with the first line, and again whenever its path names another file
/// or none. After any failure the next line tries again.
pub struct RotatedFile {
    path: PathBuf,
    rotation: Rotation,
    open: Option<Open>,
    grows: Option<Grows>,
    unremoved: Option<String>,
    remove: fn(&Path) -> io::Result<()>,
}

struct Open {
    file: File,
    /// Device and inode.
    id: (u64, u64),
    /// Whether its last line has no end.
    torn: bool,
}

/// A failed attempt to set the file aside.
struct Grows {
    why: String,
    /// The size in bytes for the next attempt.
    again_at: u64,
}

impl RotatedFile {
    /// The file at `path`. It is created with mode 0600 when the first line is written.
    pub fn new(path: &Path, rotation: Rotation) -> Self {
        let remove = |path: &Path| fs::remove_file(path);
        RotatedFile { path: path.to_owned(), rotation, open: None, grows: None, unremoved: None, remove }
    }

    /// Opens the file at once.
    ///
    /// # Errors
    /// The file can't be opened or created.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let mut file = Self::new(path, rotation);
        file.open = Some(file.current()?.0);
        Ok(file)
    }

    /// Returns the file that the path names now, and opens it unless it is open. The caller puts it back into `self.open`.
    fn current(&mut self) -> io::Result<(Open, Metadata)> {
        if let Ok(named) = fs::metadata(&self.path)
            && let Some(open) = self.open.take_if(|open| open.id == id(&named))
        {
            return Ok((open, named));
        }
        self.open = None; // frees a descriptor, which the next may need
        open(&self.path)
    }

    /// Renames `file`, which is no link, removes expired files, and returns the next file, opened with `next`.
    fn set_aside(
        &mut self,
        file: &Path,
        next: fn(&Path) -> io::Result<(Open, Metadata)>,
    ) -> io::Result<Open> {
        let now = SystemTime::now();
        let before = set_aside(file)?;
        let aside = name(file, &SetAside::next(now, before.last().map(|(when, _)| when)).suffix());
        fs::rename(file, &aside)?;
        let (next, _) = match next(&self.path) {
            Ok(next) => next,
            // For example on a full disk. The open file keeps its name.
            Err(error) => return fs::rename(&aside, file).and(Err(error)),
        };
        // `before` is sorted by age and lacks the file that was just set aside.
        let excess = (before.len() + 1).saturating_sub(FILES_MAX);
        let removed = before.iter().enumerate().map(|(index, (when, path))| {
            let kept_until = if index < excess { Duration::ZERO } else { self.rotation.max_age };
            self.remove_if_older(kept_until, when, path, now)
                .map_err(|error| format!("{}: {error}", path.display()))
        });
        self.unremoved = removed.fold(Ok(()), Result::and).err();
        Ok(next)
    }

    fn remove_if_older(
        &self,
        age: Duration,
        when: &SetAside,
        path: &Path,
        now: SystemTime,
    ) -> io::Result<()> {
        let removed = fs::symlink_metadata(path).and_then(|named| {
            // The proxy never sets a folder or a link aside.
            let expired = named.is_file() && (age.is_zero() || when.is_older(named.modified()?, age, now));
            if expired { (self.remove)(path) } else { Ok(()) }
        });
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

impl Output for RotatedFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let max = self.rotation.max_size as u64;
        let due = self.grows.as_ref().map_or(max, |grows| grows.again_at);
        let (mut file, named) = self.current()?;
        // Something that is no file, such as /dev/stderr, keeps its name.
        if named.is_file()
            && named.len() >= due
            // A link stays: its file may be on another disk, where the next one then is as well.
            && let Some(path) = resolve(&self.path)
        {
            let again_at = named.len().saturating_add(max);
            match self.set_aside(&path, open) {
                Ok(next) => {
                    file = next;
                    self.grows = None;
                }
                Err(why) => {
                    self.grows = Some(Grows { why: why.to_string(), again_at });
                    // The file may be gone, and that may be why.
                    self.open = Some(file);
                    (file, _) = self.current()?;
                }
            }
        }
        let written = write_line(&mut file.file, &mut file.torn, line);
        self.open = Some(file);
        written
    }

    fn grows(&self) -> Option<&str> {
        self.grows.as_ref().map(|grows| &*grows.why)
    }

    fn unremoved(&self) -> Option<&str> {
        self.unremoved.as_deref()
    }
}

/// Writes `line`. If the line before it was `torn`, ends that first. Sets `torn` if this one is cut.
///
/// # Errors
/// The line was not written, or only in part.
pub fn write_line(to: &mut impl Write, torn: &mut bool, line: &[u8]) -> io::Result<()> {
    let whole = if *torn { &[b"\n", line].concat() } else { line };
    let mut rest = whole;
    while !rest.is_empty() {
        match to.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                let (done, more) = rest.split_at_checked(written).unwrap_or((rest, &[]));
                *torn = !done.ends_with(b"\n");
                rest = more;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<(Open, Metadata)> {
    let opened = OpenOptions::new().read(true).create(true).append(true).mode(0o600).open(path);
    let file = opened.map_err(|error| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            io::Error::new(error.kind(), format!("{error}: {} is no folder: make it", folder.display()))
        }
        _ => error,
    })?;
    let named = file.metadata()?;
    let mut last = *b"\n";
    // For example after a loss of power. An unreadable end counts as torn, since an empty line does no harm.
    let torn = named.is_file()
        && named.len() > 0
        && (file.read_exact_at(&mut last, named.len() - 1).is_err() || last != *b"\n");
    Ok((Open { file, id: id(&named), torn }, named))
}

fn id(named: &Metadata) -> (u64, u64) {
    (named.dev(), named.ino())
}

fn name(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_keeps_its_name_if_the_next_can_not_be_created() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let rotation = Rotation { max_size: 100, max_age: Duration::ZERO };
        let mut file = RotatedFile::open(&path, rotation).unwrap();
        file.append(b"1\n").unwrap();
        let no_room = |_: &Path| Err(io::ErrorKind::StorageFull.into());
        let error = file.set_aside(&path, no_room).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        file.append(b"2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn number_of_files_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = Rotation { max_size: 1, max_age: Duration::MAX };
        let mut file = RotatedFile::new(&dir.path().join("a.log"), rotation);
        for number in 0..FILES_MAX + 20 {
            file.append(format!("{number}\n").as_bytes()).unwrap();
        }
        let files = crate::rotated::read(&dir.path().join("a.log")).unwrap();
        assert_eq!(files.len(), FILES_MAX + 1);
        // The newest lines are kept.
        assert_eq!(fs::read_to_string(&files[0].0).unwrap(), "19\n");
    }

    #[test]
    fn failed_removal_is_no_failed_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let expired = File::create(dir.path().join("a.log.20200101T000000Z")).unwrap();
        expired.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let rotation = Rotation { max_size: 1, max_age: Duration::from_secs(1) };
        let mut file = RotatedFile::new(&dir.path().join("a.log"), rotation);
        file.remove = |_| Err(io::ErrorKind::PermissionDenied.into());
        for line in [b"1\n", b"2\n"] {
            file.append(line).unwrap();
        }
        assert_eq!(file.grows(), None);
        let unremoved = file.unremoved().unwrap();
        assert!(unremoved.contains("a.log.20") && unremoved.ends_with(": permission denied"), "{unremoved}");
        // For example if another program removed it.
        file.remove = |_| Err(io::ErrorKind::NotFound.into());
        file.append(b"4\n").unwrap();
        assert_eq!(file.unremoved(), None);
    }
}
