//! `run`: the log, the limits of the process, and the exit code that says how it ended.

use std::sync::Mutex;

use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::{ConfigArgs, complain, exit, refuse};
use crate::config::{Log, LogFormat};
use crate::rotated;
use crate::run::{self, Failure, Stop};
use crate::settings::{Settings, Source};
use crate::tsnet::Error;

pub(super) fn run(args: ConfigArgs) -> u8 {
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let log = match start_log(&config.log) {
        Ok(log) => log,
        Err(fault) => {
            complain(&format!("remote-ollama-proxy: {fault}"));
            return exit::STATE;
        }
    };
    raise_file_limit();
    let settings = Settings::new(config, Source { load: Box::new(move || args.load()), log: Box::new(log) });
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work(settings)),
        Err(error) => {
            tracing::error!(%error, "the async runtime does not start");
            exit::FAILURE
        }
    }
}

async fn work(settings: Settings) -> u8 {
    let in_file = settings.config().log.file.is_some();
    let failure = match Stop::new() {
        Ok(stop) => run::run(settings, &stop).await.err(),
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
        Failure::Listener(_) => exit::FAILURE,
        Failure::Admin(_) => exit::STATE,
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

/// Starts the log; what is returned changes its level.
pub(super) fn start_log(log: &Log) -> Result<impl Fn(&Log) + use<>, String> {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::reload;
    // The config has been checked.
    let targets = |log: &Log| log.level.parse::<Targets>().unwrap_or_default();
    let (filter, level) = reload::Layer::new(targets(log));
    let (writer, colours) = match &log.file {
        None => (BoxMakeWriter::new(std::io::stderr), std::io::IsTerminal::is_terminal(&std::io::stderr())),
        Some(path) => {
            let file = rotated::open(path, log.rotation).map_err(|error| {
                format!("the log can't be written to {} (log.file): {error}", path.display())
            })?;
            complain(&format!("remote-ollama-proxy: the log is in {}", path.display()));
            (BoxMakeWriter::new(Mutex::new(file)), false)
        }
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match log.format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.with_ansi(colours).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    Ok(move |log: &Log| {
        if let Err(error) = level.reload(targets(log)) {
            tracing::error!(%error, "the level of the log can't be changed");
        }
    })
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
