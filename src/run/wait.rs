//! Waits for the signal to stop, or for a part that fails.

use super::close::{Open, in_closing_time};
use super::error::RunError;
use super::running::{Running, until_failed};
use super::service_host::ServiceHost;
use super::stop::Stop;
use crate::config::Withdraw;
use crate::settings::Settings;

/// Waits until the first signal, and until the Service is handed over. If a part fails, running requests are cut at
/// once: without that part the proxy may not keep its promises.
///
/// # Errors
/// A part has failed, or the Ollama port has ended.
pub(super) async fn wait_for_stop(
    running: &mut Running,
    stop: &Stop,
    open: &mut Open,
) -> Result<(), RunError> {
    let Running { settings, tasks, ollama_port, .. } = running;
    tokio::select! {
        () = stop_and_hand_over(settings, open.service_host.as_deref(), stop) => Ok(()),
        ended = ollama_port.ended() => Err(ended.err().unwrap_or(RunError::Ended { part: "Ollama port" })),
        failure = until_failed(tasks, &mut open.admin_socket) => {
            ollama_port.cut();
            // In limited time: the Ollama port may be what hangs.
            let _ = in_closing_time(async { drop(ollama_port.ended().await) }, stop).await;
            Err(failure)
        }
    }
}

/// Waits for the signal to stop. Clients of the Service are then handed over to other hosts, if the config says so.
async fn stop_and_hand_over(settings: &Settings, service_host: Option<&ServiceHost>, stop: &Stop) {
    stop.wait().await;
    if let (Some(host), Withdraw::First(handover)) = (service_host, settings.config().shutdown.withdraw) {
        host.hand_over(handover, stop).await;
    }
}
