//! One attempt to bring a node up, with the key from the keychain if the control server asks for one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::SignalKind;

use super::error::{RunError, explain};
use crate::auth::{Credential, CredentialSource, Keychain};
use crate::config::{Config, StartOffline};
use crate::secret::Secret;
use crate::signals;
use crate::tsnet::{Builder, Error, Events, Node, Status};

/// How long the keychain may take. It may ask a person to unlock it, and there may be no person.
const KEYCHAIN: Duration = Duration::from_secs(20);

/// The first and the longest pause between two checks whether a node has started.
const STARTING: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// A node that has tried to join.
pub(super) struct Attempt {
    pub(super) node: Arc<Node>,
    pub(super) outcome: Result<Status, Error>,
}

/// Brings a node up. `on_started` gets the events of each node that has started. The keychain is read only if the control
/// server asks for a key: it may have to be unlocked, and a stored node needs none.
///
/// The caller closes the node in `node`, whatever the outcome.
///
/// # Errors
/// The node can't be built, or an error of `on_started`.
pub(super) async fn attempt(
    config: &Config,
    node: &mut Option<Arc<Node>>,
    mut on_started: impl FnMut(Events) -> Result<(), RunError>,
) -> Result<Attempt, RunError> {
    let found = &config.node.credential;
    let first = bring_up(config, found.credential(), node, &mut on_started).await?;
    let CredentialSource::Keychain(keychain) = found else { return Ok(first) };
    if !matches!(first.outcome, Err(Error::LoginNeeded { .. } | Error::KeyExpired { .. })) {
        return Ok(first);
    }
    let Some(credential) = read_keychain(keychain, config).await else { return Ok(first) };
    first.node.close().await; // it holds the state folder
    bring_up(config, Some(&credential), node, &mut on_started).await
}

async fn bring_up(
    config: &Config,
    credential: Option<&Credential>,
    node: &mut Option<Arc<Node>>,
    on_started: &mut impl FnMut(Events) -> Result<(), RunError>,
) -> Result<Attempt, RunError> {
    let built = build_node(config, credential).map_err(|error| explain(error, config))?;
    let node = Arc::clone(node.insert(Arc::new(built)));
    let outcome = {
        let mut up = pin!(node.up(config.node.up_timeout));
        tokio::select! {
            outcome = &mut up => outcome,
            events = started(&node) => {
                on_started(events)?;
                up.await
            }
        }
    };
    Ok(Attempt { node, outcome })
}

/// The events of a node, once it has started and so holds the state folder. The node does not report that.
async fn started(node: &Node) -> Events {
    let [mut pause, longest] = STARTING;
    loop {
        match node.events().await {
            Ok(events) => return events,
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = longest.min(pause * 2);
    }
}

/// The key in the keychain. Without one, a person can still log the node in.
async fn read_keychain(keychain: &Keychain, config: &Config) -> Option<Credential> {
    let entry = keychain.clone();
    match tokio::task::spawn_blocking(move || entry.read(KEYCHAIN)).await.ok()? {
        Err(fault) => tracing::error!(%fault, %keychain, "cannot get a key from the keychain"),
        Ok(None) => tracing::error!(
            %keychain,
            "cannot get a key from the keychain: it holds none, run `remote-ollama-proxy key set`"
        ),
        Ok(Some(credential)) if credential.client_secret().is_some() && config.node.tags.is_empty() => {
            tracing::error!(%keychain, "cannot get a key from the keychain: it holds an OAuth client secret, which needs node.tags");
        }
        Ok(Some(credential)) => {
            tracing::info!(%keychain, "joining with the key in the keychain");
            return Some(credential.ephemeral(config.node.ephemeral));
        }
    }
    None
}

/// A node by the config, not started yet.
pub(super) fn build_node(config: &Config, credential: Option<&Credential>) -> Result<Node, Error> {
    // Libraries that run programs may receive SIGCHLD while the node runs: then they share this handler.
    let _ = signals::receive(SignalKind::child())
        .map_err(|error| Error::Other(format!("cannot receive SIGCHLD: {error}")))?;
    let node = &config.node;
    Builder::new()
        .hostname(&node.hostname)
        .state_dir(&node.state_dir)
        .auth_key(credential.and_then(Credential::key).map(Secret::expose))
        .client_secret(credential.and_then(Credential::client_secret).map(Secret::expose))
        .control_url(node.control_url.as_deref())
        .tags(&node.tags)
        .ephemeral(node.ephemeral)
        .port_mapping(node.port_mapping)
        .start_offline(node.start_offline == StartOffline::Cached)
        .build()
}
