//! Everything that has to be closed, in one place for every way that the proxy ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::error::RunError;
use super::service_host::ServiceHost;
use super::stop::Stop;
use crate::admin::{Admin, AdminSocket};
use crate::admission::QuotaKeeper;
use crate::config::{Config, Withdraw};
use crate::tsnet::Node;

/// How long closing may take once no request runs. The library waits for its own parts for 10 s.
const CLOSING: Duration = Duration::from_secs(8);

/// How much longer closing may take after a second signal.
const HURRY: Duration = Duration::from_secs(1);

/// The longest that stopping may take with this config.
pub fn time_to_stop(config: &Config) -> Duration {
    let handover = match config.shutdown.withdraw {
        Withdraw::First(handover) if config.node.service.is_some() => handover,
        _ => Duration::ZERO,
    };
    handover + config.shutdown.drain_timeout + CLOSING
}

/// What is open.
#[derive(Default)]
pub(super) struct Open {
    pub(super) node: Option<Arc<Node>>,
    pub(super) admin_socket: Option<AdminSocket>,
    pub(super) service_host: Option<Arc<ServiceHost>>,
    pub(super) quota_keeper: Option<Arc<QuotaKeeper>>,
    /// Runs the command of `[events]`. It ends after the first signal, once the command has ended.
    pub(super) events: Option<JoinHandle<()>>,
}

impl Open {
    /// Withdraws the Service, saves what was spent of quotas, closes the admin socket, then the node. Gives up after [`CLOSING`], or [`HURRY`] after a
    /// second signal.
    pub(super) async fn close(mut self, stop: &Stop) {
        let events = self.events.take();
        let (closed, ()) =
            tokio::join!(in_closing_time(self.close_in_order(), stop), end_events(events, stop));
        if !closed {
            tracing::warn!("the tailnet node did not close in time: exiting anyway");
        }
    }

    async fn close_in_order(self) {
        if let Some(host) = self.service_host {
            host.withdraw().await;
        }
        if let Some(keeper) = self.quota_keeper {
            let _ = spawn_blocking(move || keeper.save()).await; // it logs its failure
        }
        // The socket is in the state folder, which belongs to this process until the node is closed.
        drop(self.admin_socket);
        if let Some(node) = self.node {
            node.close().await;
        }
    }
}

/// Gives the command of `[events]` time to end, and kills it after that.
async fn end_events(events: Option<JoinHandle<()>>, stop: &Stop) {
    let Some(mut events) = events else { return };
    let ended = async {
        let _ = (&mut events).await; // an error: it has panicked, which is logged
    };
    if !in_closing_time(ended, stop).await {
        tracing::warn!("stopping: the command of [events] did not end in time, so it was killed");
        events.abort();
        let _ = events.await;
    }
}

/// Opens the admin socket in `admin_socket`, unless it is open. The node must hold the state folder.
///
/// # Errors
/// The socket can't be opened.
pub(super) fn open_admin_socket(
    admin_socket: &mut Option<AdminSocket>,
    admin: &Arc<Admin>,
) -> Result<(), RunError> {
    if admin_socket.is_none() {
        *admin_socket = Some(Arc::clone(admin).start().map_err(RunError::Admin)?);
    }
    Ok(())
}

/// Whether `closing` ended in time.
pub(super) async fn in_closing_time(closing: impl Future<Output = ()>, stop: &Stop) -> bool {
    let hurried = async {
        stop.at_once().await;
        sleep(HURRY).await;
    };
    tokio::select! {
        () = closing => true,
        () = sleep(CLOSING) => false,
        () = hurried => false,
    }
}
