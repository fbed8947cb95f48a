//! Starts the log and the journal of a command.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use super::complain;
use crate::audit::Journal;
use crate::config::{Config, Log, LogFormat};
use crate::rotated::{RotatedFile, write_line};
use crate::sink::{Labels, Output, Sink, SinkState, in_journal, in_json, in_text};

/// How long the process waits at its end until the last lines are written, for the log and the journal each.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// Starts the log. The returned function sets its level.
pub(super) fn start_log(log: &Log) -> Result<(Arc<Sink>, impl Fn(&Log) + use<>), String> {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::reload;
    // The default is never needed: the config has been checked.
    let targets = |log: &Log| log.level.parse::<Targets>().unwrap_or_default();
    let (filter, level) = reload::Layer::new(targets(log));
    let colours = log.file.is_none() && io::stderr().is_terminal();
    let sink = Arc::new(log_sink(log)?);
    let writer = Arc::clone(&sink);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match log.format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => layer.with_ansi(colours).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    let set_level = move |log: &Log| {
        if let Err(error) = level.reload(targets(log)) {
            tracing::error!(%error, "cannot change the level of the log");
        }
    };
    Ok((sink, set_level))
}

fn log_sink(log: &Log) -> Result<Sink, String> {
    let notice = match log.format {
        LogFormat::Json => in_json,
        LogFormat::Text => in_text,
    };
    let no_thread = |error| format!("cannot write the log: no thread is left for it: {error}");
    let Some(path) = &log.file else {
        // No report: it would go where the lines can't be written.
        let report = Box::new(|_: &SinkState| {});
        let labels = Labels { name: "log", to: "standard error".to_owned(), notice, report };
        return Sink::start(labels, Stderr::default()).map_err(no_thread);
    };
    let file = RotatedFile::open(path, log.rotation)
        .map_err(|error| format!("cannot write the log to {} (log.file): {error}", path.display()))?;
    let report = Box::new(|log: &SinkState| complain(&format!("remote-ollama-proxy: the log {log}")));
    let labels = Labels { name: "log", to: path.display().to_string(), notice, report };
    let sink = Sink::start(labels, file).map_err(no_thread)?;
    complain(&format!("remote-ollama-proxy: the log is in {}", path.display()));
    Ok(sink)
}

/// The journal. Its file is opened with its first line: before that its folder may belong to another process.
pub(super) fn start_journal(config: &Config) -> Result<Sink, String> {
    let path = config.node.state_dir.join(Journal::FILE);
    let logs_to_file = config.log.file.is_some();
    let report = Box::new(move |journal: &SinkState| {
        let SinkState { to, lost, fault, grows, unremoved, .. } = journal;
        if let Some(error) = fault {
            tracing::warn!(path = to, lost, error, "the journal can't be written");
        } else if let Some(error) = grows {
            tracing::warn!(path = to, error, "the journal can't be set aside, so it grows");
        } else if let Some(error) = unremoved {
            tracing::warn!(path = to, error, "an old file of the journal can't be removed");
        }
        if logs_to_file {
            complain(&format!("remote-ollama-proxy: the journal {journal}"));
        }
    });
    let labels = Labels { name: "journal", to: path.display().to_string(), notice: in_journal, report };
    Sink::start(labels, RotatedFile::new(&path, Journal::ROTATION))
        .map_err(|error| format!("cannot write the journal: no thread is left for it: {error}"))
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
