//! Drains: running requests may finish within a deadline.

use tokio::time::sleep;

use super::close::Open;
use super::error::RunError;
use super::running::{Running, until_failed};
use super::stop::Stop;
use crate::proxy::Drained;

/// Lets running requests finish, and cuts the rest at the deadline, at a second signal, or when a part fails.
///
/// # Errors
/// A part has failed, or the listener of the Ollama port has ended.
pub(super) async fn drain(running: &mut Running, stop: &Stop, open: &mut Open) -> Result<Drained, RunError> {
    let Running { settings, tasks, ollama_port, .. } = running;
    let deadline = settings.config().shutdown.drain_timeout;
    tracing::info!(?deadline, "stopping: draining running requests");
    ollama_port.drain();
    let failure = tokio::select! {
        drained = ollama_port.ended() => return drained,
        failure = until_failed(tasks, &mut open.admin_socket) => Some(failure),
        () = stop.at_once() => {
            tracing::info!("second signal: cutting running requests");
            None
        }
        () = sleep(deadline) => None,
    };
    ollama_port.cut();
    let drained = ollama_port.ended().await;
    failure.map_or(drained, Err)
}
