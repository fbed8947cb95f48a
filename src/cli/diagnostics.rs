//! Starts the log, the access log and the journal of a command.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::complain;
use super::log_fields::LogFields;
use crate::audit::{Journal, lost_in_access_log, lost_in_journal};
use crate::config::{Config, LogConfig, LogFormat};
use crate::rotated::{RotatedFile, Rotation, write_line};
use crate::sink::{Notice, Output, Sink, SinkOptions, SinkState, in_json, in_text};

/// How long the process waits at its end until the last lines are written, for each of the log, the access log and the journal.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// Starts the log. The returned function sets its level.
pub(super) fn start_log(log: &LogConfig) -> Result<(Arc<Sink>, impl Fn(&LogConfig) + use<>), String> {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::reload;
    // The default is never needed: the config has been checked.
    let targets = |log: &LogConfig| log.level.parse::<Targets>().unwrap_or_default();
    let (filter, level) = reload::Layer::new(targets(log));
    let colours = log.file.is_none() && io::stderr().is_terminal();
    let sink = Arc::new(log_sink(log)?);
    let writer = Arc::clone(&sink);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match log.format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => layer.with_ansi(colours).fmt_fields(LogFields).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    let set_level = move |log: &LogConfig| {
        if let Err(error) = level.reload(targets(log)) {
            tracing::error!(%error, "cannot change the level of the log");
        }
    };
    Ok((sink, set_level))
}

fn log_sink(log: &LogConfig) -> Result<Sink, String> {
    let notice = match log.format {
        LogFormat::Json => in_json,
        LogFormat::Text => in_text,
    };
    let no_thread = |error| format!("cannot write the log: no thread is left for it: {error}");
    let Some(path) = &log.file else {
        // No report: it would go where the lines can't be written.
        let report = Box::new(|_: &SinkState| {});
        let options = SinkOptions { name: "log", to: "standard error".to_owned(), notice, report };
        return Sink::start(options, Stderr::default()).map_err(no_thread);
    };
    let file = RotatedFile::open(path, log.rotation)
        .map_err(|error| format!("cannot write the log to {} (log.file): {error}", path.display()))?;
    let report = Box::new(|log: &SinkState| complain(&format!("remote-ollama-proxy: the log {log}")));
    let options = SinkOptions { name: "log", to: path.display().to_string(), notice, report };
    let sink = Sink::start(options, file).map_err(no_thread)?;
    complain(&format!("remote-ollama-proxy: the log is in {}", path.display()));
    Ok(sink)
}

/// Starts the access log, if it is on, and the journal.
pub(super) fn start_records(config: &Config) -> Result<(Option<Arc<Sink>>, Arc<Sink>), String> {
    let logs_to_file = config.log.file.is_some();
    let access = config.access_log.as_ref().map(|log| {
        let options = record_options("access", &log.file, lost_in_access_log, logs_to_file);
        record_sink(options, &log.file, log.rotation)
    });
    let path = config.node.state_dir.join(Journal::FILE);
    let options = record_options("journal", &path, lost_in_journal, logs_to_file);
    Ok((access.transpose()?, record_sink(options, &path, Journal::ROTATION)?))
}

/// A file of records. It is opened with its first line: before that its folder may belong to another process.
fn record_sink(options: SinkOptions, path: &Path, rotation: Rotation) -> Result<Arc<Sink>, String> {
    let sink = Sink::start(options, RotatedFile::new(path, rotation));
    sink.map(Arc::new)
        .map_err(|error| format!("cannot write {}: no thread is left for it: {error}", path.display()))
}

/// Faults of a file of records go to the log, and to standard error too if the log is a file.
fn record_options(
    name: &'static str,
    path: &Path,
    notice: fn(&Notice<'_>) -> String,
    logs_to_file: bool,
) -> SinkOptions {
    let report = Box::new(move |state: &SinkState| {
        let SinkState { to, lost, fault, grows, unremoved, .. } = state;
        if let Some(error) = fault {
            tracing::warn!(path = to, lost, error, "records can't be written");
        } else if let Some(error) = grows {
            tracing::warn!(path = to, error, "a file of records can't be set aside, so it grows");
        } else if let Some(error) = unremoved {
            tracing::warn!(path = to, error, "an old file of records can't be removed");
        }
        if logs_to_file {
            complain(&format!("remote-ollama-proxy: {state}"));
        }
    });
    SinkOptions { name, to: path.display().to_string(), notice, report }
}

/// Standard error: it may be a file on a full disk, or a pipe without a reader.
#[derive(Default)]
struct Stderr {
    torn: bool,
}

impl Output for Stderr {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        write_line(&mut io::stderr(), &mut self.torn, line)
    }
}
