//! Serves until told to stop, then drains: running requests may finish within a deadline.

use tokio::time::sleep;

use super::close::{Open, in_closing_time};
use super::error::RunError;
use super::service_host::ServiceHost;
use super::spawn::Running;
use super::stop::Stop;
use super::tasks::Tasks;
use crate::admin::AdminSocket;
use crate::config::Withdraw;
use crate::proxy::Drained;
use crate::settings::Settings;

/// Serves, hands the Service over once told to stop, and drains. If a part fails, running requests are cut at once:
/// without that part the proxy may not keep its promises.
///
/// # Errors
/// A part has failed, or the listener of the Ollama port has ended.
pub(super) async fn serve_until_stopped(
    mut running: Running,
    stop: &Stop,
    open: &mut Open,
) -> Result<Drained, RunError> {
    let Running { settings, tasks, ollama_port, .. } = &mut running;
    let (service_host, admin_socket) = (open.service_host.as_deref(), &mut open.admin_socket);
    tokio::select! {
        () = stop_and_hand_over(settings, service_host, stop) => {}
        served = ollama_port.ended() => return served,
        failure = failed(tasks, admin_socket) => {
            ollama_port.cut();
            // In limited time: the Ollama port may be what hangs.
            let _ = in_closing_time(async { drop(ollama_port.ended().await) }, stop).await;
            return Err(failure);
        }
    }
    drain(&mut running, stop, admin_socket).await
}

/// Waits for the signal to stop. Clients of the Service are then handed over to other hosts, if the config says so.
async fn stop_and_hand_over(settings: &Settings, service_host: Option<&ServiceHost>, stop: &Stop) {
    stop.wait().await;
    if let (Some(host), Withdraw::First(handover)) = (service_host, settings.config().shutdown.withdraw) {
        host.hand_over(handover, stop).await;
    }
}

/// Lets running requests finish, and cuts them at the deadline, at a second signal, or when a part fails.
async fn drain(
    Running { settings, tasks, ollama_port, .. }: &mut Running,
    stop: &Stop,
    admin_socket: &mut Option<AdminSocket>,
) -> Result<Drained, RunError> {
    let deadline = settings.config().shutdown.drain_timeout;
    tracing::info!(?deadline, "stopping: draining running requests");
    ollama_port.drain();
    let failure = tokio::select! {
        served = ollama_port.ended() => return served,
        failure = failed(tasks, admin_socket) => Some(failure),
        () = stop.at_once() => {
            tracing::info!("told to stop again: cutting running requests");
            None
        }
        () = sleep(deadline) => None,
    };
    ollama_port.cut();
    let served = ollama_port.ended().await;
    failure.map_or(served, Err)
}

/// Waits until a part fails. Cancel-safe.
async fn failed(tasks: &mut Tasks, admin_socket: &mut Option<AdminSocket>) -> RunError {
    let Some(admin_socket) = admin_socket else { return tasks.failed().await };
    tokio::select! {
        failure = tasks.failed() => failure,
        () = admin_socket.failed() => RunError::Panicked { part: "admin socket" },
    }
}
