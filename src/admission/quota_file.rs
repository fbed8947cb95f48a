//! The file in the state folder that keeps what was spent of the quotas over a restart.
//!
//! It has one line of JSON for each identity. Each line has the day that its counts are from, so that it can be read without
//! the others. The file is replaced as a whole.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::spent::{Spent, SpentQuotas};

/// A file with more bytes is not read. The most identities take about a third of it.
const BYTES_MAX: u64 = 8 << 20;

/// More than this many bytes of a name are no identity. Login names and stable ids are shorter.
const IDENTITY_MAX: usize = 400;

/// One line.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    identity: Cow<'a, str>,
    day: Date,
    #[serde(flatten)]
    spent: Spent,
}

/// The file. Only one thread writes it at a time.
#[derive(Debug)]
pub struct QuotaFile(PathBuf);

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Restored {
    /// Lines that could be read.
    pub(super) identities: usize,
    /// Lines that could not.
    pub(super) unreadable: usize,
}

impl QuotaFile {
    /// Its name in the state folder.
    pub const NAME: &str = "quotas.jsonl";
    /// The name of the next file until it replaces the last one.
    pub const NEXT: &str = "quotas.jsonl.next";

    /// The name of a file that could not be read.
    pub const UNREADABLE: &str = "quotas.jsonl.unreadable";

    /// The file in `state_dir`, which need not exist.
    pub fn new(state_dir: &Path) -> QuotaFile {
        QuotaFile(state_dir.join(Self::NAME))
    }

    /// Keeps a file that can't be read under another name, which it returns, so that the next one does not replace it.
    ///
    /// # Errors
    /// It can't be renamed.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.0.with_file_name(Self::UNREADABLE);
        fs::rename(&self.0, &aside)?;
        Ok(aside)
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its content; empty if it does not exist.
    ///
    /// # Errors
    /// The file can't be opened or read, is no regular file, or has more than 8 MiB.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        // Without O_NONBLOCK, opening a pipe waits for a writer.
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(nonblock).open(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut content = Vec::new();
        if file.take(BYTES_MAX + 1).read_to_end(&mut content)? as u64 > BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
        }
        Ok(content)
    }

    /// Replaces the file. After a crash there is either the old content or the new.
    ///
    /// # Errors
    /// The file can't be written. The old one stays.
    pub(super) fn replace(&self, content: &[u8]) -> io::Result<()> {
        let next = self.0.with_file_name(Self::NEXT);
        // A file of this name is left over from a crash. It may be a link to elsewhere, so it is not written to.
        match fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&next, &self.0)?;
        // So that the new name survives a power failure. A file system that can't do this keeps one of both files.
        let _ = self.0.parent().map(|folder| File::open(folder).and_then(|folder| folder.sync_all()));
        Ok(())
    }
}

/// The content of the file for the counts of `day`.
pub(super) fn write(day: Date, counts: &[(String, Spent)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (identity, spent) in counts {
        let line = Line { identity: identity.into(), day, spent: *spent };
        if serde_json::to_writer(&mut content, &line).is_ok() {
            content.push(b'\n');
        }
    }
    content
}

/// Adds what `content` says to `spent`. A line that can't be read costs no other, and neither does one of a wrong day: of the
/// days that are not before `today`, the first one holds for all, because a later one would end the counts of the others.
pub(super) fn restore(content: &[u8], spent: &mut SpentQuotas, today: Date) -> Restored {
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let is_sound = |line: &Line<'_>| (1..=IDENTITY_MAX).contains(&line.identity.len());
    let read: Vec<_> =
        lines.map(|line| serde_json::from_slice::<Line<'_>>(line).ok().filter(is_sound)).collect();
    let latest =
        read.iter().flatten().map(|line| line.day).filter(|day| *day >= today).min().unwrap_or(today);
    for line in read.iter().flatten() {
        spent.restore(&line.identity, line.day.min(latest), line.spent);
    }
    spent.trim();
    let identities = read.iter().flatten().count();
    Restored { identities, unreadable: read.len() - identities }
}

#[cfg(test)]
mod tests;
