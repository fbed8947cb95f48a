//! SIGHUP reloads the config.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind};

use crate::settings::Settings;
use crate::signals;

/// Receives SIGHUP, which no longer ends the process from now on.
pub(super) fn hangup() -> Option<Signal> {
    signals::receive(SignalKind::hangup())
        .inspect_err(
            |error| tracing::warn!(%error, "cannot receive SIGHUP: use `remote-ollama-proxy reload`"),
        )
        .ok()
}

/// Reloads the config at each SIGHUP, including one that came before this was called.
pub(super) async fn reload_on_hangup(settings: Arc<Settings>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let _ = settings.reload().await; // it logs its outcome
    }
}
