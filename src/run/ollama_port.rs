//! The server of the Ollama port, in a task of its own.

use std::io;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::RunError;
use super::tasks;
use crate::listen::Listen;
use crate::proxy::{Drained, Proxy};

const NAME: &str = "Ollama port";

/// How far the server is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serve,
    /// Requests that run may finish; new ones are refused.
    Drain,
    /// Requests that run are cut.
    Cut,
}

/// The running server. Dropping this cuts its requests.
pub(super) struct OllamaPort {
    task: JoinHandle<io::Result<Drained>>,
    phase: watch::Sender<Phase>,
}

impl OllamaPort {
    pub(super) fn spawn(proxy: Proxy, listener: impl Listen + 'static) -> Self {
        let phase = watch::Sender::new(Phase::Serve);
        let (drain, cut) = (reached(&phase, Phase::Drain), reached(&phase, Phase::Cut));
        let serving = async move { proxy.serve(listener, drain, cut).await };
        OllamaPort { task: tokio::spawn(tasks::named(NAME, serving)), phase }
    }

    /// Stops accepting, and lets running requests finish.
    pub(super) fn drain(&self) {
        self.phase.send_replace(Phase::Drain);
    }

    /// Stops accepting, and cuts running requests.
    pub(super) fn cut(&self) {
        self.phase.send_replace(Phase::Cut);
    }

    /// Waits until the server has ended. Cancel-safe.
    ///
    /// # Errors
    /// The listener has ended by itself, or the task has panicked.
    pub(super) async fn ended(&mut self) -> Result<Drained, RunError> {
        match (&mut self.task).await {
            Ok(served) => served.map_err(RunError::Listener),
            Err(_) => Err(RunError::Panicked { part: NAME }),
        }
    }
}

/// Waits for `wanted` or a later phase.
fn reached(phase: &watch::Sender<Phase>, wanted: Phase) -> impl Future<Output = ()> + Send + 'static {
    let mut phase = phase.subscribe();
    async move {
        let _ = phase.wait_for(|phase| *phase >= wanted).await; // an error: the handle was dropped
    }
}
