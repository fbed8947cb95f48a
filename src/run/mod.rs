//! Runs the proxy: builds its parts, joins the tailnet, spawns a task for each server and watcher, waits for a signal,
//! drains, and closes.

mod announce;
mod attempt;
mod authorizer;
mod build;
mod certificate;
mod close;
mod drain;
mod error;
mod expiry;
mod join;
mod listeners;
mod login;
mod logout;
mod node_events;
mod node_status;
mod ollama_health;
mod ollama_port;
mod ollama_watch;
mod reload;
mod running;
mod service_host;
mod slow_join;
mod spawn;
mod stop;
mod tasks;
mod wait;

use std::sync::Arc;

use tokio::signal::unix::Signal;

use crate::proxy::Drained;
use crate::settings::Settings;
use crate::sink::Sinks;
use build::Parts;
use close::Open;
pub use close::time_to_stop;
pub use error::RunError;
use listeners::Listeners;
pub use login::{LoginStep, login};
pub use logout::logout;
pub use stop::Stop;

/// Joins the tailnet and serves peers until the first signal. On every path the Service is withdrawn, then the admin socket
/// and the node are closed, within 8 s. The log and the journal go to `sinks`.
///
/// # Errors
/// See [`RunError`].
pub async fn run(settings: Arc<Settings>, stop: &Stop, sinks: Sinks) -> Result<(), RunError> {
    let hangup = reload::hangup();
    let mut open = Open::default();
    let outcome = join_and_serve(Parts::build(settings, sinks), hangup, stop, &mut open).await;
    if let Err(failure) = &outcome {
        stop.count_failure(failure);
    }
    open.close(stop).await;
    if let Some(Drained { cut }) = outcome? {
        tracing::info!(cut, "stopped");
    }
    Ok(())
}

/// `None` if the first signal arrives before the node has joined.
async fn join_and_serve(
    parts: Parts,
    hangup: Option<Signal>,
    stop: &Stop,
    open: &mut Open,
) -> Result<Option<Drained>, RunError> {
    let Some(joined) = join::join(&parts, stop, open).await? else { return Ok(None) };
    let listeners = Listeners::open(&parts.settings.config(), &joined, parts.proxy.audit()).await?;
    announce::announce(&parts, &joined.status);
    let mut running = spawn::spawn(parts, joined, listeners, hangup, stop, open);
    wait::wait_for_stop(&mut running, stop, open).await?;
    drain::drain(&mut running, stop, open).await.map(Some)
}

#[cfg(test)]
mod tests;
