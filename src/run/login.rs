//! Logs the node in, with a person's help where there is no key.

use std::time::Duration;

use super::attempt::{Attempt, attempt};
use super::error::{RunError, explain};
use crate::config::Config;
use crate::tsnet::{Error, Event, Node, Status};

/// What a login waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginStep<'a> {
    /// A person logs the node in at this URL.
    Login(&'a str),
    /// An admin of the tailnet approves the device.
    Approval,
}

/// Joins, and leaves a stored node that `run` can use. `show` tells the person what to do.
///
/// # Errors
/// See [`RunError`]; a refused key is one.
pub async fn login(config: &Config, show: impl Fn(LoginStep<'_>)) -> Result<Status, RunError> {
    let Attempt { node, outcome } = attempt(config, &mut None, |_| Ok(())).await?;
    let has_key = config.node.credential.credential().is_some();
    let status = match outcome {
        Err(Error::LoginNeeded { .. } | Error::KeyExpired { .. }) if !has_key => {
            wait_for_person(&node, show, config.node.up_timeout).await
        }
        Err(Error::ApprovalPending) => wait_for_person(&node, show, config.node.up_timeout).await,
        outcome => outcome,
    };
    node.close().await;
    status.map_err(|error| explain(error, config))
}

/// Waits until a person has done what `show` told.
async fn wait_for_person(
    node: &Node,
    show: impl Fn(LoginStep<'_>),
    deadline: Duration,
) -> Result<Status, Error> {
    let mut events = node.events().await?;
    let mut shown = String::new();
    while let Some(event) = events.next().await {
        match event {
            Event::LoginUrl(url) if url != shown => {
                show(LoginStep::Login(&url));
                shown = url;
            }
            Event::NeedsApproval => show(LoginStep::Approval),
            Event::Running => {
                return node.up(deadline).await.map(|status| Status { stored: false, ..status });
            }
            Event::Failed(Error::KeyExpired { .. }) => {} // the login renews the key
            Event::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Err(Error::Closed)
}
