//! `run`: starts the log, the access log and the journal, runs the proxy, and exits with a code for the outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::diagnostics::{FLUSH, start_log, start_records};
use super::{ConfigArgs, complain, exit, refuse};
use crate::panics;
use crate::run::{self, RunError, Stop};
use crate::settings::{Settings, Source};
use crate::sink::Sinks;
use crate::tsnet::Error;

/// How long the process waits at its end until each panic is logged.
const FLUSH_PANICS: Duration = Duration::from_secs(1);

/// The longest wait for the last lines of the log after a second signal.
const FLUSH_AT_ONCE: Duration = Duration::from_millis(250);

pub(super) fn run(args: ConfigArgs) -> u8 {
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let started = start_log(&config.log).and_then(|(log, set_level)| {
        let (access, journal) = start_records(&config)?;
        Ok((Sinks { log, access, journal }, set_level))
    });
    let (sinks, set_level) = match started {
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
    let settings = Settings::new(
        config,
        Source { load: Box::new(move || args.load()), set_log_level: Box::new(set_level) },
    );
    let code = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => outcome(runtime, work(Arc::new(settings), sinks.clone())),
        Err(error) => {
            tracing::error!(%error, "cannot start the async runtime");
            exit::FAILURE
        }
    };
    panic_log.flush(FLUSH_PANICS);
    sinks.flush(FLUSH);
    code
}

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
    let end = move |failure: Option<u8>| {
        stop_sinks.flush(FLUSH_AT_ONCE);
        // Without a failure a success, so that the service manager does not start it again: the operator asked it to stop.
        std::process::exit(failure.unwrap_or(exit::OK).into())
    };
    let stop = Stop::new(move || run::time_to_stop(&stop_settings.config()), exit_code, end);
    let failure = match stop {
        Ok(stop) => run::run(settings, &stop, sinks).await.err(),
        Err(error) => Some(RunError::Signals(error)),
    };
    let Some(failure) = failure else { return exit::OK };
    tracing::error!("{failure}");
    if logs_to_file {
        complain(&format!("remote-ollama-proxy: {failure}"));
    }
    exit_code(&failure)
}

/// The exit code for a failure.
pub(super) fn exit_code(failure: &RunError) -> u8 {
    match failure {
        RunError::Listener(_)
        | RunError::Signals(_)
        | RunError::Panicked { .. }
        | RunError::Ended { .. }
        | RunError::AllEnded => exit::FAILURE,
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
    fn failed_part_exits_with_a_failure() {
        for failure in [RunError::Panicked { part: "planted" }, RunError::Ended { part: "planted" }] {
            assert_eq!(exit_code(&failure), exit::FAILURE, "{failure}");
        }
    }

    #[test]
    fn panic_of_the_proxy_exits_with_a_failure() {
        assert_eq!(outcome(runtime(), async { panic!("planted") }), exit::FAILURE);
    }
}
