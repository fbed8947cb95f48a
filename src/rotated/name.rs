//! The name of a file that was set aside: `NAME.20261128T191837Z`, the time in UTC. Further files of the same second end
//! in `.1`, `.2` and so on. Versions up to 0.1.0 used local time, without the `Z`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// The format of the time in a name.
const FORMAT: &str = "%Y%m%dT%H%M%S";

/// When a file was set aside. A local time sorts before every time in UTC, since only old versions used it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetAside {
    in_utc: bool,
    time: DateTime,
    /// The number of the file within its second, from 0.
    number: u32,
}

impl SetAside {
    /// The name for a file set aside at `now`. It sorts after the `newest`, even if the clock went back.
    pub(super) fn next(now: SystemTime, newest: Option<&SetAside>) -> Self {
        let time = in_utc(now);
        match newest {
            Some(newest) if newest.in_utc && newest.time >= time => match newest.number.checked_add(1) {
                Some(number) => SetAside { number, ..*newest },
                None => {
                    let time = newest.time.saturating_add(SignedDuration::from_secs(1));
                    SetAside { in_utc: true, time, number: 0 }
                }
            },
            _ => SetAside { in_utc: true, time, number: 0 },
        }
    }

    /// Parses `suffix`, which includes its dot. `None`: the proxy did not choose this name.
    fn parse(suffix: &str) -> Option<Self> {
        let suffix = suffix.strip_prefix('.')?;
        let (time, number) = suffix.split_once('.').unwrap_or((suffix, "0"));
        let utc = time.strip_suffix('Z');
        let time = DateTime::strptime(FORMAT, utc.unwrap_or(time)).ok()?;
        Some(SetAside { in_utc: utc.is_some(), time, number: number.parse().ok()? })
    }

    /// The suffix, with its dot.
    pub(super) fn suffix(&self) -> String {
        let zone = if self.in_utc { "Z" } else { "" };
        let number = if self.number == 0 { String::new() } else { format!(".{}", self.number) };
        format!(".{}{zone}{number}", self.time.strftime(FORMAT))
    }

    /// Whether a file of this name, which was last `modified` then, is older than `age`. The later of the two times
    /// counts, since a clock that was behind makes a new file look old. A time in the future is ignored; if both are,
    /// the file is kept.
    pub(super) fn is_older(&self, modified: SystemTime, age: Duration, now: SystemTime) -> bool {
        // No zone is more than 12 hours behind UTC, so a local time never makes a file look too old.
        let zone = SignedDuration::from_hours(if self.in_utc { 0 } else { 12 });
        let by_name = in_utc(now).duration_since(self.time).saturating_sub(zone);
        let by_name = Duration::try_from(by_name).ok();
        let by_content = now.duration_since(modified).ok();
        by_name.into_iter().chain(by_content).min().is_some_and(|past| past > age)
    }
}

/// `at` in UTC, to the second as names have it.
fn in_utc(at: SystemTime) -> DateTime {
    let time = Offset::UTC.to_datetime(Timestamp::try_from(at).unwrap_or_default());
    time.with().subsec_nanosecond(0).build().unwrap_or(time)
}

/// The path of the file itself if `path` is a symbolic link, also if that file does not exist yet. `None`: it is a
/// descriptor of this process, such as `/dev/stderr`, and stays the same file under any name.
pub(super) fn resolve(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    // Systems follow at most 40 links.
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

/// The files that were set aside of the file at `path`, which is no link, the oldest first. Such a name may also belong
/// to something that is no file.
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
