//! `report`: what the access log and the journal tell of a span of time.

mod csv;
mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};

use super::args::ConfigArgs;
use super::{complain, exit, refuse_over, show};
use crate::audit::Journal;
use crate::config::Config;
use crate::history::{History, Span, Summary};
use crate::rotated;
use crate::service::{Account, ManagedService, Manager, Part};

pub(super) const HELP: &str = "\
Exit codes:
   0  Ended as asked
   1  A file or all lines of it can't be read, or there is none: the log goes to standard error
   2  The command line is wrong
  78  The config is invalid";

/// What `report` takes.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// From when on: a day or a time in UTC, or how long ago
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = when)]
    since: When,
    /// Until when, that moment no longer included [default: now]
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<When>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Logs and journals to read, the oldest first; - reads standard input. [default: log.file of the
    /// config and the journal, with what was set aside of them]
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

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    At(SystemTime),
    Ago(Duration),
}

impl When {
    fn from(self, now: SystemTime) -> SystemTime {
        match self {
            When::At(at) => at,
            When::Ago(ago) => now.checked_sub(ago).unwrap_or(now).max(SystemTime::UNIX_EPOCH),
        }
    }
}

/// `2026-11-01`, `2026-11-01T12:00:00Z` or `7d`.
fn when(text: &str) -> Result<When, String> {
    let at = |text: &str| humantime::parse_rfc3339(text).ok();
    at(text)
        .or_else(|| at(&format!("{text}T00:00:00Z")))
        .map(When::At)
        .or_else(|| humantime::parse_duration(text).ok().map(When::Ago))
        .ok_or_else(|| {
            "want a time in UTC, such as 2026-11-01 or 2026-11-01T12:00:00Z, or how long ago, such as 7d"
                .to_owned()
        })
}

pub(super) fn report(args: &ReportArgs) -> u8 {
    let now = SystemTime::now();
    let span = Span { since: args.since.from(now), until: args.until.map_or(now, |until| until.from(now)) };
    if span.since >= span.until {
        let [since, until] = [span.since, span.until].map(humantime::format_rfc3339_seconds);
        complain(&format!(
            "remote-ollama-proxy: --since is {since}, and --until {until}, which is not later: see --help"
        ));
        return exit::USAGE;
    }
    let mut history = History::new(span);
    let read = match args.files.is_empty() {
        true => args
            .config
            .load()
            .map_err(|faults| {
                refuse_over(&faults.faults, "nothing was read; name the files to read, or mend it")
            })
            .and_then(|config| read_own(&mut history, &config)),
        false => args.files.iter().try_for_each(|file| read_file(&mut history, file)),
    };
    if let Err(code) = read {
        return code;
    }
    let summary = history.summary();
    match args.format {
        Format::Text => show(&text::text(&summary)),
        Format::Json => json(&summary),
        Format::Csv => show(&csv::csv(&summary)),
    }
}

/// Shows it as one object, which is never in the memory as a whole.
fn json(summary: &Summary) -> u8 {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, summary).map_err(io::Error::from);
    match written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Ok(()) => exit::OK,
        Err(_) => exit::FAILURE,
    }
}

/// What the proxy with this config has written.
///
/// # Errors
/// The exit code, once what is wrong was said.
fn read_own(history: &mut History, config: &Config) -> Result<(), u8> {
    let journal = config.node.state_dir.join(Journal::FILE);
    let Some(log) = &config.log.file else {
        complain(&format!("remote-ollama-proxy: {}", elsewhere(&journal)));
        return Err(exit::FAILURE);
    };
    for path in [&journal, log] {
        let files = match rotated::read(path) {
            // A proxy that has not joined yet has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path == &journal => continue,
            opened => opened.map_err(|error| cannot_read(path, &error))?,
        };
        for (path, file) in files {
            // One with no line that can be read is ours all the same: it may have begun with half a line.
            read(history, &path, BufReader::new(file))?;
        }
    }
    Ok(())
}

fn read_file(history: &mut History, path: &Path) -> Result<(), u8> {
    let (path, is_ours) = if path == Path::new("-") {
        let path = Path::new("standard input");
        (path, read(history, path, io::stdin().lock())?)
    } else {
        let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
        (path, read(history, path, BufReader::new(file))?)
    };
    if is_ours {
        return Ok(());
    }
    let path = path.display();
    complain(&format!(
        "remote-ollama-proxy: {path}: no line of it can be read: want a log or a journal of the proxy, without colours"
    ));
    Err(exit::FAILURE)
}

/// Whether there is a line that can be read, or none at all.
fn read(history: &mut History, path: &Path, from: impl BufRead) -> Result<bool, u8> {
    history.read(&path.display().to_string(), from).map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &io::Error) -> u8 {
    complain(&format!("remote-ollama-proxy: {}: can't be read: {error}", path.display()));
    exit::FAILURE
}

/// Where the log is if the config does not say: with the service manager, if one runs the proxy.
fn elsewhere(journal: &Path) -> String {
    let journal = if journal.exists() { format!(" {journal:?}*") } else { String::new() };
    let service = Account::of_process().map(|account| ManagedService {
        account,
        manager: Manager::native(),
        part: Part::Proxy,
    });
    let command = match service.map(|service| (service.log_file(), service.log())) {
        Some((Some(file), _)) => format!("remote-ollama-proxy report{journal} {file:?}"),
        Some((None, log)) => format!("{log} --output cat | remote-ollama-proxy report{journal} -"),
        None => format!("remote-ollama-proxy report{journal} LOG"),
    };
    format!(
        "the config has no log.file, so the log goes to standard error, which a service manager keeps: set log.file, or\n  {command}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_a_moment_or_so_long_ago() {
        let now = humantime::parse_rfc3339("2026-11-24T16:44:13Z").unwrap();
        for (text, at) in [
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z"),
            ("7d", "2026-11-17T16:44:13Z"),
            ("1h 30m", "2026-11-24T15:14:13Z"),
            ("1000y", "1970-01-01T00:00:00Z"),
        ] {
            let at = humantime::parse_rfc3339(at).unwrap();
            assert_eq!(when(text).unwrap().from(now), at, "{text}");
        }
        for text in ["", "7", "yesterday", "2026-13-01", "2026-11-01T12:00", "-1d", "1.11.2026"] {
            assert!(when(text).is_err(), "{text}");
        }
    }
}
