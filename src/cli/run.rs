//! `run`: the log, the limits of the process, and the exit code that says how it ended.

use std::io::{self, IsTerminal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{ConfigArgs, complain, exit, refuse};
use crate::audit::Journal;
use crate::config::{Config, LogConfig, LogFormat};
use crate::panics;
use crate::rotated::{RotatedFile, write_line};
use crate::run::{self, Failure, Stop};
use crate::settings::{Settings, Source};
use crate::sink::{Labels, Output, Sink, SinkState, Sinks, in_journal, in_json, in_text};
use crate::tsnet::Error;

pub(super) fn run(args: ConfigArgs) -> u8 {
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let (log, sinks) = match start_log(&config.log)
        .and_then(|(log, level)| Ok((level, Sinks { log, journal: Arc::new(start_journal(&config)?) })))
    {
        Ok(started) => started,
        Err(fault) => {
            complain(&format!("remote-ollama-proxy: {fault}"));
            return exit::STATE;
        }
    };
    let reports = match panics::report() {
        Ok(reports) => reports,
        Err(error) => {
            tracing::error!(%error, "the thread that reports panics does not start");
            return exit::FAILURE;
        }
    };
    raise_file_limit();
    let settings = Settings::new(config, Source { load: Box::new(move || args.load()), log: Box::new(log) });
    let code = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => outcome(runtime, work(Arc::new(settings), sinks.clone())),
        Err(error) => {
            tracing::error!(%error, "the async runtime does not start");
            exit::FAILURE
        }
    };
    reports.flush(LAST_REPORT);
    sinks.flush(LAST_WORDS);
    code
}

/// How long the process waits at its end until each panic is in the log.
const LAST_REPORT: Duration = Duration::from_secs(1);

/// How long the process waits, for each of the log and the journal, until its last lines are written.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// The same once it has to end at once.
const LAST_WORDS_AT_ONCE: Duration = Duration::from_millis(250);

/// What `work` comes to. A thread that is still held up, such as by a call into the tailnet library, is
/// left behind.
fn outcome(runtime: Runtime, work: impl Future<Output = u8>) -> u8 {
    let work = AssertUnwindSafe(|| runtime.block_on(panics::named("the proxy", work)));
    let code = catch_unwind(work).unwrap_or(exit::FAILURE); // the panic has been reported
    runtime.shutdown_background();
    code
}

async fn work(settings: Arc<Settings>, sinks: Sinks) -> u8 {
    let in_file = settings.config().log.file.is_some();
    let (known, written) = (Arc::clone(&settings), sinks.clone());
    let end = move || {
        written.flush(LAST_WORDS_AT_ONCE);
        // Ended as asked, if not in order: nothing is to start it again.
        std::process::exit(exit::OK.into())
    };
    let stop = Stop::new(move || run::time_to_stop(&known.config()), end);
    let failure = match stop {
        Ok(stop) => run::run(settings, &stop, sinks).await.err(),
        Err(error) => Some(Failure::Listener(error)),
    };
    let Some(failure) = failure else { return exit::OK };
    tracing::error!("{failure}");
    if in_file {
        complain(&format!("remote-ollama-proxy: {failure}"));
    }
    code(&failure)
}

/// The exit code that says what kind of failure it was.
pub(super) fn code(failure: &Failure) -> u8 {
    match failure {
        Failure::Listener(_) | Failure::Panicked { .. } => exit::FAILURE,
        Failure::Admin(_) => exit::STATE,
        Failure::NothingToJoinWith { .. } => exit::NO_PERMISSION,
        Failure::Untagged { .. } => exit::CONFIG,
        Failure::Node { error, .. } => match error {
            Error::KeyInvalid { .. } | Error::KeyExpired { .. } => exit::NO_PERMISSION,
            Error::LoginNeeded { .. } | Error::ApprovalPending => exit::NO_PERMISSION,
            Error::ControlUnreachable { .. } | Error::ExchangeFailed { .. } => exit::UNAVAILABLE,
            Error::StateUnusable { .. } => exit::STATE,
            Error::LoggingRequired => exit::CONFIG,
            _ => exit::FAILURE,
        },
    }
}

/// Starts the log; what is returned beside it changes its level.
pub(super) fn start_log(log: &LogConfig) -> Result<(Arc<Sink>, impl Fn(&LogConfig) + use<>), String> {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::reload;
    // The config has been checked.
    let targets = |log: &LogConfig| log.level.parse::<Targets>().unwrap_or_default();
    let (filter, level) = reload::Layer::new(targets(log));
    let colours = log.file.is_none() && io::stderr().is_terminal();
    let sink = Arc::new(log_sink(log)?);
    let writer = Arc::clone(&sink);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match log.format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.with_ansi(colours).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    let relevel = move |log: &LogConfig| {
        if let Err(error) = level.reload(targets(log)) {
            tracing::error!(%error, "the level of the log can't be changed");
        }
    };
    Ok((sink, relevel))
}

fn log_sink(log: &LogConfig) -> Result<Sink, String> {
    let notice = match log.format {
        LogFormat::Json => in_json,
        LogFormat::Text => in_text,
    };
    let no_thread = |error| format!("the log can't be written: no thread is left for it: {error}");
    let Some(path) = &log.file else {
        // A report would go where the lines can't go.
        let report = Box::new(|_: &SinkState| {});
        let labels = Labels { name: "log", to: "standard error".to_owned(), notice, report };
        return Sink::start(labels, Stderr::default()).map_err(no_thread);
    };
    let file = RotatedFile::open(path, log.rotation)
        .map_err(|error| format!("the log can't be written to {} (log.file): {error}", path.display()))?;
    let report = Box::new(|log: &SinkState| complain(&format!("remote-ollama-proxy: the log {log}")));
    let labels = Labels { name: "log", to: path.display().to_string(), notice, report };
    let sink = Sink::start(labels, file).map_err(no_thread)?;
    complain(&format!("remote-ollama-proxy: the log is in {}", path.display()));
    Ok(sink)
}

/// The journal, which is opened with its first line: before that its folder may be another process's.
fn start_journal(config: &Config) -> Result<Sink, String> {
    let path = config.node.state_dir.join(Journal::FILE);
    let in_file = config.log.file.is_some();
    let report = Box::new(move |journal: &SinkState| {
        let SinkState { to, lost, fault, grows, unremoved, .. } = journal;
        if let Some(error) = fault {
            tracing::warn!(path = to, lost, error, "the journal can't be written");
        } else if let Some(error) = grows {
            tracing::warn!(path = to, error, "the journal can't be set aside, so it grows");
        } else if let Some(error) = unremoved {
            tracing::warn!(path = to, error, "an old file of the journal can't be removed");
        }
        if in_file {
            complain(&format!("remote-ollama-proxy: the journal {journal}"));
        }
    });
    let labels = Labels { name: "journal", to: path.display().to_string(), notice: in_journal, report };
    Sink::start(labels, RotatedFile::new(&path, Journal::ROTATION))
        .map_err(|error| format!("the journal can't be written: no thread is left for it: {error}"))
}

/// Standard error, which may be a file on a full disk, or a pipe whose reader has left.
#[derive(Default)]
struct Stderr {
    torn: bool,
}

impl Output for Stderr {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        write_line(&mut io::stderr(), &mut self.torn, line)
    }
}

/// A connection takes up to three descriptors, and launchd starts processes with a limit of 256.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // macOS takes no value above OPEN_MAX (10240) even where the hard limit is infinite.
    let most = if cfg!(target_os = "macos") { 10_240 } else { 1 << 20 };
    let wanted = limit.maximum.map_or(most, |hard| hard.min(most));
    if limit.current.is_some_and(|now| now < wanted)
        && let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
    {
        tracing::warn!(%error, wanted, "the limit of open files can't be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    #[test]
    fn hung_call_does_not_keep_the_process_from_ending() {
        let (begun, waiting) = std::sync::mpsc::channel();
        let (_release, hung) = std::sync::mpsc::channel::<()>();
        let code = outcome(runtime(), async move {
            tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                let _ = hung.recv(); // for as long as the test has `_release`
            });
            waiting.recv().unwrap();
            exit::OK
        });
        assert_eq!(code, exit::OK);
    }

    #[test]
    fn panicked_proxy_ends_with_a_failure() {
        assert_eq!(outcome(runtime(), async { panic!("planted") }), exit::FAILURE);
    }
}
