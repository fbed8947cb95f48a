//! `run`: starts the log, raises the limits of the process, runs the proxy, and exits with a code for the outcome.

use std::io::{self, IsTerminal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{ConfigArgs, complain, exit, refuse};
use crate::audit::Journal;
use crate::config::{Config, Log, LogFormat};
use crate::panics;
use crate::rotated::{RotatedFile, write_line};
use crate::run::{self, RunError, Stop};
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
    let panic_log = match panics::install_hook() {
        Ok(panic_log) => panic_log,
        Err(error) => {
            tracing::error!(%error, "cannot start the thread that logs panics");
            return exit::FAILURE;
        }
    };
    raise_file_limit();
    let settings = Settings::new(config, Source { load: Box::new(move || args.load()), log: Box::new(log) });
    let code = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => outcome(runtime, work(Arc::new(settings), sinks.clone())),
        Err(error) => {
            tracing::error!(%error, "cannot start the async runtime");
            exit::FAILURE
        }
    };
    panic_log.flush(LAST_PANICS);
    sinks.flush(LAST_WORDS);
    code
}

/// How long the process waits at its end until each panic is logged.
const LAST_PANICS: Duration = Duration::from_secs(1);

/// How long the process waits at its end until the last lines are written, for the log and the journal each.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// The same after a second signal.
const LAST_WORDS_AT_ONCE: Duration = Duration::from_millis(250);

/// Runs `work`. Threads that are still blocked, such as in a call into the tailnet library, are left behind.
fn outcome(runtime: Runtime, work: impl Future<Output = u8>) -> u8 {
    let work = AssertUnwindSafe(|| runtime.block_on(panics::named("main", work)));
    let code = catch_unwind(work).unwrap_or(exit::FAILURE); // the hook has logged the panic
    runtime.shutdown_background();
    code
}

async fn work(settings: Arc<Settings>, sinks: Sinks) -> u8 {
    let logs_to_file = settings.config().log.file.is_some();
    let (stop_settings, stop_sinks) = (Arc::clone(&settings), sinks.clone());
    let end = move || {
        stop_sinks.flush(LAST_WORDS_AT_ONCE);
        // A success, so that the service manager does not start it again: the operator asked it to stop.
        std::process::exit(exit::OK.into())
    };
    let stop = Stop::new(move || run::time_to_stop(&stop_settings.config()), end);
    let failure = match stop {
        Ok(stop) => run::run(settings, &stop, sinks).await.err(),
        Err(error) => Some(RunError::Listener(error)),
    };
    let Some(failure) = failure else { return exit::OK };
    tracing::error!("{failure}");
    if logs_to_file {
        complain(&format!("remote-ollama-proxy: {failure}"));
    }
    code(&failure)
}

/// The exit code for a failure.
pub(super) fn code(failure: &RunError) -> u8 {
    match failure {
        RunError::Listener(_) | RunError::Panicked { .. } | RunError::Ended { .. } => exit::FAILURE,
        RunError::Admin(_) => exit::STATE,
        RunError::NothingToJoinWith { .. } => exit::NO_PERMISSION,
        RunError::Untagged { .. } => exit::CONFIG,
        RunError::Node { error, .. } => match error {
            Error::KeyInvalid { .. } | Error::KeyExpired { .. } => exit::NO_PERMISSION,
            Error::LoginNeeded { .. } | Error::ApprovalPending => exit::NO_PERMISSION,
            Error::ControlUnreachable { .. } | Error::ExchangeFailed { .. } => exit::UNAVAILABLE,
            Error::StateUnusable { .. } => exit::STATE,
            Error::LoggingRequired => exit::CONFIG,
            _ => exit::FAILURE,
        },
    }
}

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
fn start_journal(config: &Config) -> Result<Sink, String> {
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

/// Raises the limit of open files. A connection takes up to three descriptors, and launchd's limit is 256.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // macOS accepts no value above OPEN_MAX (10240) even where the hard limit is infinite.
    let most = if cfg!(target_os = "macos") { 10_240 } else { 1 << 20 };
    let wanted = limit.maximum.map_or(most, |hard| hard.min(most));
    if limit.current.is_some_and(|now| now < wanted)
        && let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
    {
        tracing::warn!(%error, wanted, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    #[test]
    fn blocked_thread_does_not_keep_the_process_from_ending() {
        let (begun, waiting) = std::sync::mpsc::channel();
        let (_release, hung) = std::sync::mpsc::channel::<()>();
        let code = outcome(runtime(), async move {
            tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                let _ = hung.recv(); // blocks until the test drops `_release`
            });
            waiting.recv().unwrap();
            exit::OK
        });
        assert_eq!(code, exit::OK);
    }

    #[test]
    fn panic_of_the_proxy_exits_with_a_failure() {
        assert_eq!(outcome(runtime(), async { panic!("planted") }), exit::FAILURE);
    }
}
