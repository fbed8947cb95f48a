//! Logging out: the tailnet forgets the node, and this machine too.

use std::time::Duration;

use super::failure::{Failure, explain};
use super::join::build;
use crate::config::Config;
use crate::tsnet::LogoutResult;

/// How long the control server may take to hear of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the control server and removes what is stored of the node; the journal stays.
///
/// # Errors
/// See [`Failure`]; while a proxy runs with this state folder it is in use.
pub async fn logout(config: &Config) -> Result<LogoutResult, Failure> {
    let explain = |error| explain(error, config);
    build(config, None).map_err(explain)?.logout(PATIENCE).await.map_err(explain)
}
