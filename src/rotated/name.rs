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
    /// The name for a file set aside at `now`. It sorts after the `newest` there is, even if the clock went back.
    pub(super) fn next(now: SystemTime, newest: Option<&SetAside>) -> Self {
        let time = DateTime::<Utc>::from(now).naive_utc();
        let time = time.with_nanosecond(0).unwrap_or(time); // as a name has it
        match newest {
            Some(newest) if newest.in_utc && newest.time >= time => match newest.number.checked_add(1) {
                Some(number) => SetAside { number, ..*newest },
                None => {
                    let time = newest.time.checked_add_signed(TimeDelta::seconds(1)).unwrap_or(time);
                    SetAside { in_utc: true, time, number: 0 }
                }
            },
            _ => SetAside { in_utc: true, time, number: 0 },
        }
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

    /// Whether a file of this name, last `modified` then, is older than `age`. The later of the two times counts, since
    /// a clock that was behind makes a new file look old. A time in the future is ignored; if both are, the file is kept.
    pub(super) fn is_older(&self, modified: SystemTime, age: Duration, now: SystemTime) -> bool {
        // No zone is more than 12 hours behind UTC, so none of local time is taken for older than it is.
        let zone = if self.in_utc { TimeDelta::zero() } else { TimeDelta::hours(12) };
        let by_name = (DateTime::<Utc>::from(now).naive_utc() - self.time - zone).to_std();
        let by_content = now.duration_since(modified);
        by_name.into_iter().chain(by_content).min().is_some_and(|past| past > age)
    }
}

/// The path of the file itself if `path` is a symbolic link, also if that file does not exist yet. `None`: it is a
/// descriptor of this process, such as `/dev/stderr`, and stays the same file under any name.
pub(super) fn resolve(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    // No system follows more links than this.
    for _ in 0..40 {
        if path.starts_with("/proc") || path.starts_with("/dev/fd") {
            return None;
        }
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent()?.join(target),
            Err(_) => break,
        }
    }
    Some(path)
}

/// What was set aside of the file at `path`, which is no link, the oldest first. Something else than a file may have
/// such a name.
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
