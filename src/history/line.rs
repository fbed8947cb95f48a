//! Records read back from files. A file may have been changed since the proxy wrote it, so texts are made printable and
//! bounded here.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use jiff::Timestamp;

use super::tally::Tally;
use crate::audit::{AccessEvent, AccessRecord, JournalEntry, PeerName, acts_as_tags};
use crate::peer::{self, printable};
use crate::policy::Endpoint;

/// The longest line that is read, in bytes. An access record has less than 2 kB; a line of the journal has the grants of
/// a peer.
pub(super) const LINE_MAX: usize = 1 << 20;

/// The longest text that is kept, in characters. The proxy cuts a path at 100, and a name in DNS has at most 253.
const TEXT_MAX: usize = 300;

/// One line.
#[derive(Debug)]
pub(super) enum Line {
    /// Of the access log.
    Access(Box<AccessEvent>),
    /// Of the journal.
    Journal(Box<JournalEntry>),
    /// Of neither.
    Unreadable(Unreadable),
}

/// A line that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is one of the diagnostics, where versions up to 0.1.0 kept their access log.
    Diagnostics,
    /// Anything else, such as half a record.
    Other,
}

/// Passes each line of `from` that is not empty to `note`, with its number from 1.
///
/// # Errors
/// Reading failed; the lines before it were passed.
pub(super) fn each_line(mut from: impl BufRead, mut note: impl FnMut(u64, Line)) -> io::Result<()> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        from.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        let is_cut = bytes.len() == LINE_MAX && !bytes.ends_with(b"\n");
        if is_cut {
            from.skip_until(b'\n')?;
        }
        let line = bytes.trim_ascii_end();
        if !line.is_empty() {
            note(number, if is_cut { Line::Unreadable(Unreadable::Other) } else { read(line) });
        }
    }
    Ok(())
}

/// Passes each line of an access log to `note`. Other lines are left out.
///
/// # Errors
/// Reading failed; the lines before it were passed.
pub(crate) fn each_access_event(from: impl BufRead, mut note: impl FnMut(AccessEvent)) -> io::Result<()> {
    each_line(from, |_, line| {
        if let Line::Access(event) = line {
            note(*event);
        }
    })
}

fn read(line: &[u8]) -> Line {
    if let Ok(event) = serde_json::from_slice(line) {
        Line::Access(Box::new(event))
    } else if let Ok(entry) = serde_json::from_slice(line) {
        Line::Journal(Box::new(entry))
    } else if is_diagnostic(line) {
        Line::Unreadable(Unreadable::Diagnostics)
    } else {
        Line::Unreadable(Unreadable::Other)
    }
}

/// Whether `line` is one of the diagnostics: an object with a level and a target, or a time and a level in text.
fn is_diagnostic(line: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(rename = "level")]
        _level: String,
        #[serde(rename = "target")]
        _target: String,
    }
    if serde_json::from_slice::<Event>(line).is_ok() {
        return true;
    }
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    let time = words.next().is_some_and(|time| time.parse::<Timestamp>().is_ok());
    time && matches!(words.next(), Some("ERROR" | "WARN" | "INFO" | "DEBUG" | "TRACE"))
}

/// A device, and as whom it acts. Both names are printable and bounded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Device {
    pub(super) node: String,
    pub(super) principal: String,
}

impl Device {
    /// The identity that the device counts as: the login name of its user, or the name of a tagged device.
    pub(super) fn identity(&self) -> &str {
        if acts_as_tags(&self.principal) { &self.node } else { &self.principal }
    }
}

impl From<&PeerName> for Device {
    fn from(peer: &PeerName) -> Self {
        Device { node: plain(&peer.node), principal: plain(&peer.principal) }
    }
}

impl From<&peer::Peer> for Device {
    fn from(peer: &peer::Peer) -> Self {
        Device { node: plain(&peer.node), principal: plain(&peer.principal()) }
    }
}

/// What `record` adds to the counts.
pub(super) fn count_record(record: &AccessRecord) -> Tally {
    let tokens = record.tokens.unwrap_or_default();
    Tally {
        requests: 1,
        refused: record.refused_by().is_some().into(),
        errors: record.has_failed().into(),
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        tokens_in: tokens.input.unwrap_or(0),
        tokens_out: tokens.output.unwrap_or(0),
        tokens_untold: (record.tokens.is_some() && tokens == Default::default()).into(),
        worked: worked(record),
    }
}

/// How long Ollama worked on the request, as far as the proxy can tell: from the start of its running slot to its end,
/// if it made a model run.
fn worked(record: &AccessRecord) -> Duration {
    let endpoint = record.endpoint.as_deref().and_then(Endpoint::named);
    let computes = endpoint.is_some_and(Endpoint::computes) && record.method == "POST";
    match record.queued {
        Some(queued) if computes && record.refused_by().is_none() => {
            record.took.duration().saturating_sub(queued.duration())
        }
        _ => Duration::ZERO,
    }
}

/// `text` without characters that a terminal acts on, and cut where it is too long.
pub(super) fn plain(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_are_told_from_other_lines() {
        for line in [
            r#"2026-11-24T16:44:13.022046Z  INFO access: id="1" ended="complete""#,
            r#"{"timestamp":"2026-11-24T16:44:13Z","level":"INFO","message":"up","target":"tsnet"}"#,
        ] {
            assert!(matches!(read(line.as_bytes()), Line::Unreadable(Unreadable::Diagnostics)), "{line}");
        }
        for line in ["what is this?", "{}", "[1]", "null", "\u{1b}[2m2026-11-24T16:44:13Z\u{1b}[0m INFO"] {
            assert!(matches!(read(line.as_bytes()), Line::Unreadable(Unreadable::Other)), "{line}");
        }
    }

    #[test]
    fn text_is_bounded_and_printable() {
        assert_eq!(plain("a\n\u{9b}"), "a\\u000a\\u009b");
        assert_eq!(plain(&"ü".repeat(TEXT_MAX + 1)), "ü".repeat(TEXT_MAX) + "…");
    }
}
