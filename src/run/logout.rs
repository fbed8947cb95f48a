//! Logs the node out: the tailnet and this machine forget it.

use std::time::Duration;

use super::attempt::build_node;
use super::error::{RunError, explain};
use crate::config::Config;
use crate::tsnet::LogoutResult;

/// How long the control server may take to answer.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Logs out at the control server and removes the stored node. The access log and the journal stay.
///
/// # Errors
/// See [`RunError`]. A running proxy holds the state folder.
pub async fn logout(config: &Config) -> Result<LogoutResult, RunError> {
    let explain = |error| explain(error, config);
    build_node(config, None).map_err(explain)?.logout(LOGOUT_TIMEOUT).await.map_err(explain)
}
