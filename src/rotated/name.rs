//! What a file is called once it is set aside: `NAME.20261128T191837Z`, the time in UTC, and `.1`, `.2` and so on after
//! it for the further ones of a second. Versions up to 0.1.0 used local time, without the `Z`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike, Utc};

/// Of the time in a name.
const FORMAT: &str = "%Y%m%dT%H%M%S";

/// When a file was set aside. Those with local time are older than those with UTC, whatever they say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetAside {
    in_utc: bool,
    time: NaiveDateTime,
    /// Which of those of that second.
    number: u32,
}

impl SetAside {
    /// At `now`, when there are those `before` already.
    pub(super) fn next<'a>(now: SystemTime, before: impl Iterator<Item = &'a SetAside>) -> Self {
        let time = DateTime::<Utc>::from(now).naive_utc();
        let time = time.with_nanosecond(0).unwrap_or(time); // as a name has it
        let mut next = SetAside { in_utc: true, time, number: 0 };
        for other in before.filter(|other| other.in_utc && other.time == next.time) {
            next.number = next.number.max(other.number.saturating_add(1));
        }
        next
    }

    /// What `suffix`, with its dot, says of the file; nothing if it is no name of ours.
    fn parse(suffix: &str) -> Option<Self> {
        let suffix = suffix.strip_prefix('.')?;
        let (time, number) = suffix.split_once('.').unwrap_or((suffix, "0"));
        let utc = time.strip_suffix('Z');
        let time = NaiveDateTime::parse_from_str(utc.unwrap_or(time), FORMAT).ok()?;
        Some(SetAside { in_utc: utc.is_some(), time, number: number.parse().ok()? })
    }

    /// With its dot.
    pub(super) fn suffix(&self) -> String {
        let zone = if self.in_utc { "Z" } else { "" };
        let number = if self.number == 0 { String::new() } else { format!(".{}", self.number) };
        format!(".{}{zone}{number}", self.time.format(FORMAT))
    }

    pub(super) fn is_older(&self, age: Duration, now: SystemTime) -> bool {
        // No zone is more than 12 hours behind UTC, so none of local time is taken for older than it is.
        let zone = if self.in_utc { TimeDelta::zero() } else { TimeDelta::hours(12) };
        let past = DateTime::<Utc>::from(now).naive_utc() - self.time - zone;
        past.to_std().is_ok_and(|past| past > age)
    }
}

/// What was set aside of the file at `path`, the oldest first.
///
/// # Errors
/// The folder can't be read, or `path` names no file.
pub(super) fn set_aside(path: &Path) -> io::Result<Vec<(SetAside, PathBuf)>> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "the file does not exist");
    let (name, folder) = path.file_name().zip(path.parent()).ok_or_else(none)?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.file_name();
        let suffix = file.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let when = suffix.and_then(|suffix| SetAside::parse(str::from_utf8(suffix).ok()?));
        found.extend(when.map(|when| (when, folder.join(&file))));
    }
    found.sort();
    Ok(found)
}
