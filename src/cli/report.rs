//! `report`: sums up the access log and the journal of a span of time.

mod csv;
mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::args::ConfigArgs;
use super::{complain, exit, refuse_over, show};
use crate::audit::Journal;
use crate::config::Config;
use crate::history::{FileKind, History, Span, Summary};
use crate::rotated;

pub(super) const HELP: &str = "\
Exit codes:
   0  The report was written
   1  A file can't be read or has no records, or there is no file
   2  The command line is wrong
  78  The config is invalid";

/// The arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The start of the span: a day or a time in UTC, or how long ago
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = when)]
    since: When,
    /// The end of the span, which is not part of it [default: now]
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<When>,
    /// The format of the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Access logs and journals to read, the oldest first; - reads standard input. [default: access_log.file of
    /// the config and the journal, each with its older files]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}

#[derive(Debug, Clone, Copy)]
enum When {
    At(Timestamp),
    Ago(jiff::Span),
}

impl When {
    /// Not before 1970, however long ago it is.
    fn from(self, now: Timestamp) -> Timestamp {
        match self {
            When::At(at) => at,
            When::Ago(ago) => {
                let at = now.to_zoned_datetime(TimeZone::UTC).saturating_sub(ago).timestamp();
                at.max(Timestamp::UNIX_EPOCH)
            }
        }
    }
}

/// `2026-11-01`, `2026-11-01T12:00:00Z` or `7d`.
fn when(text: &str) -> Result<When, String> {
    if let Ok(at) = text.parse() {
        return Ok(When::At(at));
    }
    if let Some(at) = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned_datetime(TimeZone::UTC).ok()) {
        return Ok(When::At(at.timestamp()));
    }
    let ago = text.parse::<jiff::Span>().ok().filter(|ago| !ago.is_negative());
    ago.map(When::Ago).ok_or_else(|| {
        "want a time in UTC, such as 2026-11-01 or 2026-11-01T12:00:00Z, or how long ago, such as 7d"
            .to_owned()
    })
}

pub(super) fn report(args: &ReportArgs) -> u8 {
    let now = Timestamp::now();
    let span = Span { since: args.since.from(now), until: args.until.map_or(now, |until| until.from(now)) };
    if span.since >= span.until {
        let Span { since, until } = span;
        complain(&format!(
            "remote-ollama-proxy: --until {until:.0} is not later than --since {since:.0}: see --help"
        ));
        return exit::USAGE;
    }
    let mut history = History::new(span);
    let read = if args.files.is_empty() {
        read_configured(&mut history, &args.config)
    } else {
        args.files.iter().try_for_each(|file| read_named(&mut history, file))
    };
    if let Err(code) = read {
        return code;
    }
    let summary = history.summary();
    match args.format {
        Format::Text => show(&text::text(&summary)),
        Format::Json => json(&summary),
        Format::Csv => csv::csv(&summary).map_or(exit::FAILURE, |table| show(&table)),
    }
}

/// Writes one object, without building it in memory first.
fn json(summary: &Summary) -> u8 {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, summary).map_err(io::Error::from);
    match written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Ok(()) => exit::OK,
        Err(_) => exit::FAILURE,
    }
}

/// Reads the files that the proxy with this config writes.
///
/// # Errors
/// The exit code, after the error was shown.
fn read_configured(history: &mut History, args: &ConfigArgs) -> Result<(), u8> {
    let config: Config = args.load().map_err(|faults| {
        refuse_over(&faults.faults, "nothing was read; name the files to read, or correct the config")
    })?;
    let journal = config.node.state_dir.join(Journal::FILE);
    let has_journal = read_rotated(history, &journal)?;
    let Some(access_log) = &config.access_log else {
        let off = "access_log.enabled = false in the config";
        if !has_journal {
            let shown = journal.display();
            complain(&format!(
                "remote-ollama-proxy: cannot read {shown}: the file does not exist, and {off}, so there is no file to \
                 read: start the proxy, or pass the --config that it runs with"
            ));
            return Err(exit::FAILURE);
        }
        complain(&format!("remote-ollama-proxy: {off}: only the journal is read"));
        return Ok(());
    };
    let has_access_log = read_rotated(history, &access_log.file)?;
    if !has_access_log && !has_journal {
        complain(&format!(
            "remote-ollama-proxy: cannot read {}: the file does not exist, so no request has been recorded: start the \
             proxy, or pass the --config that it runs with",
            access_log.file.display()
        ));
        return Err(exit::FAILURE);
    }
    Ok(())
}

/// Reads `path` and its older files. Returns whether there are any.
fn read_rotated(history: &mut History, path: &Path) -> Result<bool, u8> {
    let files = match rotated::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(cannot_read(path, &error)),
        Ok(files) => files,
    };
    let (mut has_records, mut without) = (false, None);
    for (path, file) in files {
        let file = BufReader::new(file);
        let is_empty = file.get_ref().metadata().is_ok_and(|found| found.len() == 0);
        match read(history, &path, file)? {
            FileKind::Records => has_records |= !is_empty,
            FileKind::Diagnostics | FileKind::Unknown => without = Some(path),
        }
    }
    // Among files with records, one may have none, such as one of an earlier version: its lines count as unreadable.
    match without {
        Some(path) if !has_records => {
            complain(&format!(
                "remote-ollama-proxy: cannot read {}: no line of it is a record of this version: move it out of the \
                 way, or name the files to read",
                path.display()
            ));
            Err(exit::FAILURE)
        }
        _ => Ok(true),
    }
}

fn read_named(history: &mut History, path: &Path) -> Result<(), u8> {
    let (path, kind) = if path == Path::new("-") {
        let path = Path::new("standard input");
        (path, read(history, path, io::stdin().lock())?)
    } else {
        let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
        (path, read(history, path, BufReader::new(file))?)
    };
    let reason = match kind {
        FileKind::Records => return Ok(()),
        FileKind::Diagnostics => {
            "it is a log for people, where versions up to 0.1.0 also kept the requests: no version reads those back \
             any more. Read access.jsonl and journal.jsonl in the state folder instead"
        }
        FileKind::Unknown => "no line of it is a record: name an access.jsonl or a journal.jsonl",
    };
    complain(&format!("remote-ollama-proxy: cannot read {}: {reason}", path.display()));
    Err(exit::FAILURE)
}

fn read(history: &mut History, path: &Path, from: impl BufRead) -> Result<FileKind, u8> {
    history.read(&path.display().to_string(), from).map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &io::Error) -> u8 {
    complain(&format!("remote-ollama-proxy: cannot read {}: {error}", path.display()));
    exit::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_a_day_a_time_or_a_duration() {
        let now: Timestamp = "2026-11-24T16:44:13Z".parse().unwrap();
        for (text, at) in [
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T12:00", "2026-11-01T12:00:00Z"),
            ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z"),
            ("2026-11-01T12:00:00+01:00", "2026-11-01T11:00:00Z"),
            ("7d", "2026-11-17T16:44:13Z"),
            ("1h 30m", "2026-11-24T15:14:13Z"),
            ("2w", "2026-11-10T16:44:13Z"),
            ("3mo", "2026-08-24T16:44:13Z"),
            ("1000y", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(when(text).unwrap().from(now), at.parse().unwrap(), "{text}");
        }
        for text in ["", "7", "yesterday", "2026-13-01", "-1d", "1.11.2026"] {
            assert!(when(text).is_err(), "{text}");
        }
    }
}
