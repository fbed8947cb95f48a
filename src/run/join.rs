//! Joining the tailnet: with what is stored, else with a key, else with a person's help.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Credential, CredentialSource, Keychain};
use crate::config::{Config, StartOffline};
use crate::secret::Secret;
use crate::stored;
use crate::tsnet::{Builder, Error, Event, Events, Node, Status};

use super::failure::{Failure, explain};

/// How long the keychain may take: a person may have to unlock it, and there may be nobody.
const KEYCHAIN: Duration = Duration::from_secs(20);

/// How often it is looked whether a node has started: at first, and in the end.
const STARTING: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// A login that waits for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait<'a> {
    /// At this page.
    Login(&'a str),
    /// For an admin of the tailnet to approve the device.
    Approval,
}

/// Has a node come up. Until then `meanwhile` runs, with events of the node that is coming up. Whatever
/// becomes of it, the caller has to close the node that is in `place` then.
pub(super) async fn join(
    config: &Config,
    place: &mut Option<Arc<Node>>,
    meanwhile: impl AsyncFnMut(Events) -> Failure,
) -> Result<(Arc<Node>, Status), Failure> {
    let (node, joined) = attempt(config, place, meanwhile).await?;
    joined.map(|status| (node, status)).map_err(|error| explain(error, config))
}

/// Whether there is a key, or a stored node. What can't be read the node itself will complain about.
pub(super) fn may_join(config: &Config) -> bool {
    let no_key = matches!(config.node.credential, CredentialSource::Unset | CredentialSource::MissingFile(_));
    !no_key || stored::read(&config.node.state_dir).map_or(true, |node| node.is_some())
}

/// Joins, with `tell` saying what a person has to do, and leaves the node to be run.
///
/// # Errors
/// See [`Failure`]; a key that is refused is one, wherever it was found.
pub async fn login(config: &Config, tell: impl Fn(Wait<'_>)) -> Result<Status, Failure> {
    let (node, joined) = attempt(config, &mut None, async |_| std::future::pending().await).await?;
    let status = match joined {
        Err(Error::LoginNeeded { .. } | Error::KeyExpired { .. } | Error::ApprovalPending)
            if config.node.credential.credential().is_none() =>
        {
            logged_in(&node, tell, config.node.up_timeout).await
        }
        Err(Error::ApprovalPending) => logged_in(&node, tell, config.node.up_timeout).await,
        joined => joined,
    };
    node.close().await;
    status.map_err(|error| explain(error, config))
}

/// Waits until somebody has done what is needed.
async fn logged_in(node: &Node, tell: impl Fn(Wait<'_>), deadline: Duration) -> Result<Status, Error> {
    let mut events = node.events().await?;
    let mut shown = String::new();
    while let Some(event) = events.next().await {
        match event {
            Event::LoginUrl(url) if url != shown => {
                tell(Wait::Login(&url));
                shown = url;
            }
            Event::NeedsApproval => tell(Wait::Approval),
            Event::Running => {
                return node.up(deadline).await.map(|status| Status { stored: false, ..status });
            }
            // That is why somebody is to log it in.
            Event::Failed(Error::KeyExpired { .. }) => {}
            Event::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Err(Error::Closed)
}

/// Has a node come up. The keychain is asked only once the tailnet asks for a key: it may have to be
/// unlocked, and a stored node needs none.
async fn attempt(
    config: &Config,
    place: &mut Option<Arc<Node>>,
    mut meanwhile: impl AsyncFnMut(Events) -> Failure,
) -> Result<(Arc<Node>, Result<Status, Error>), Failure> {
    let mut up = async |node: Node| {
        let node = Arc::clone(place.insert(Arc::new(node)));
        let joined = tokio::select! {
            joined = node.up(config.node.up_timeout) => joined,
            failure = async { meanwhile(started(&node).await).await } => return Err(failure),
        };
        Ok((node, joined))
    };
    let build =
        |credential: Option<&Credential>| build(config, credential).map_err(|error| explain(error, config));
    let found = &config.node.credential;
    let (node, joined) = up(build(found.credential())?).await?;
    let CredentialSource::Keychain(keychain) = found else { return Ok((node, joined)) };
    if !matches!(joined, Err(Error::LoginNeeded { .. } | Error::KeyExpired { .. })) {
        return Ok((node, joined));
    }
    let Some(credential) = credential(keychain, config).await else { return Ok((node, joined)) };
    node.close().await; // it holds the state folder
    up(build(Some(&credential))?).await
}

/// The events of a node, as soon as it has started and so holds the state folder, which it does not tell.
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

/// The key in the keychain, if it can be used; a person can still log the node in.
async fn credential(keychain: &Keychain, config: &Config) -> Option<Credential> {
    let asked = keychain.clone();
    match tokio::task::spawn_blocking(move || asked.read(KEYCHAIN)).await.ok()? {
        Err(fault) => tracing::error!(%fault, %keychain, "there is no key from the keychain"),
        Ok(None) => tracing::error!(
            %keychain,
            "there is no key in the keychain: `remote-ollama-proxy key set` puts one there"
        ),
        Ok(Some(credential)) if credential.client_secret().is_some() && config.node.tags.is_empty() => {
            tracing::error!(%keychain, "the keychain holds an OAuth client secret, which needs node.tags");
        }
        Ok(Some(credential)) => {
            tracing::info!(%keychain, "joining with the key in the keychain");
            return Some(credential.ephemeral(config.node.ephemeral));
        }
    }
    None
}

/// A node as the config wants it, which has not started.
pub(super) fn build(config: &Config, credential: Option<&Credential>) -> Result<Node, Error> {
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
