//! Says why joining the tailnet takes long.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::Config;
use crate::tailnet::NodeStatus;

/// How often the node's health warnings are checked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a join may take before it is reported without a health warning. Most take a few seconds.
const LONG: Duration = Duration::from_secs(15);

/// Logs the node's health warnings while it joins, each once.
pub(super) async fn warn_of_slow_join(config: Arc<Config>, node: watch::Receiver<NodeStatus>) {
    let begun = Instant::now();
    let mut logged = HashSet::new();
    loop {
        sleep(INTERVAL).await;
        let reason = node.borrow().warnings.join("; ");
        if logged.contains(&reason) || reason.is_empty() && begun.elapsed() < LONG {
            continue;
        }
        tracing::warn!(
            after = ?Duration::from_secs(begun.elapsed().as_secs()),
            deadline = ?config.node.up_timeout,
            reason,
            "the node has not joined the tailnet yet: log.level = \"info,tsnet=debug\" shows each step"
        );
        logged.insert(reason);
    }
}
