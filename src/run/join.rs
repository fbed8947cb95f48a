//! Joins the tailnet with the stored node, else with a key.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::attempt::{Attempt, attempt};
use super::build::Parts;
use super::close::{Open, open_admin_socket};
use super::error::{RunError, explain, nothing_to_join_with};
use super::node_status;
use super::slow_join::warn_of_slow_join;
use super::stop::Stop;
use crate::auth::CredentialSource;
use crate::config::{Config, StartOffline};
use crate::panics;
use crate::stored;
use crate::tailnet::NodeStatus;
use crate::tsnet::{Event, Events, Node, Status};

/// A node in the tailnet.
pub(super) struct Joined {
    pub(super) node: Arc<Node>,
    pub(super) status: Status,
}

/// Joins, with the node and the admin socket in `open`. The admin socket answers as soon as the node has started.
/// `None` if the first signal arrives before that is done.
///
/// # Errors
/// See [`RunError`].
pub(super) async fn join(parts: &Parts, stop: &Stop, open: &mut Open) -> Result<Option<Joined>, RunError> {
    let config = parts.settings.config();
    if !may_join(&config) {
        return Err(nothing_to_join_with(&config.node.credential));
    }
    log_join(&config);
    let mut watchers = JoinSet::new(); // they end with the join, when this is dropped
    let slow_join = warn_of_slow_join(Arc::clone(&config), parts.node_status.subscribe());
    watchers.spawn(panics::named("slow join watcher", slow_join));
    let on_started = |events| {
        open_admin_socket(&mut open.admin_socket, &parts.admin)?;
        let health = note_health(events, parts.node_status.clone());
        watchers.spawn(panics::named("health watcher", health));
        Ok(())
    };
    let Attempt { node, outcome } = tokio::select! {
        attempt = attempt(&config, &mut open.node, on_started) => attempt?,
        () = stop.wait() => {
            tracing::info!("stopping before the node has joined");
            return Ok(None);
        }
    };
    let status = outcome.map_err(|error| explain(error, &config))?;
    open_admin_socket(&mut open.admin_socket, &parts.admin)?; // the node may have joined as soon as it started
    Ok(Some(Joined { node, status }))
}

/// Whether there is a key or a stored node. If the stored state can't be read, the node reports it.
fn may_join(config: &Config) -> bool {
    let no_key = matches!(config.node.credential, CredentialSource::Unset | CredentialSource::MissingFile(_));
    !no_key || stored::read(&config.node.state_dir).map_or(true, |node| node.is_some())
}

fn log_join(config: &Config) {
    tracing::info!(hostname = config.node.hostname, joins_with = %config.node.credential, "joining the tailnet");
    if config.node.start_offline == StartOffline::Cached {
        tracing::warn!(
            "node.start_offline = \"cached\": until the control server answers, peers are admitted by the stored netmap"
        );
    }
}

/// Keeps the health warnings in `node_status`. Its state is left out: NeedsLogin is normal until the key is sent.
async fn note_health(mut events: Events, node_status: watch::Sender<NodeStatus>) {
    while let Some(event) = events.next().await {
        if let Event::Health(_) = event {
            node_status.send_modify(|status| node_status::note(status, &event));
        }
    }
}
