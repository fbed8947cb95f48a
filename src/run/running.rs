//! The proxy at work: its tasks, and the first of them that fails.

use std::sync::Arc;

use tokio::sync::watch;

use super::error::RunError;
use super::ollama_port::OllamaPort;
use super::tasks::Tasks;
use crate::admin::AdminSocket;
use crate::settings::Settings;
use crate::tailnet::NodeStatus;

/// The tasks of the proxy. They end when this is dropped.
pub(super) struct Running {
    pub(super) settings: Arc<Settings>,
    /// Held here, so that a task that ends does not end those that watch the status.
    pub(super) _node_status: watch::Sender<NodeStatus>,
    /// Every task except the Ollama port's.
    pub(super) tasks: Tasks,
    pub(super) ollama_port: OllamaPort,
}

/// Waits until a part other than the Ollama port fails. Cancel-safe.
pub(super) async fn until_failed(tasks: &mut Tasks, admin_socket: &mut Option<AdminSocket>) -> RunError {
    let Some(admin_socket) = admin_socket else { return tasks.until_failed().await };
    tokio::select! {
        failure = tasks.until_failed() => failure,
        () = admin_socket.until_failed() => RunError::Panicked { part: "admin socket" },
    }
}
