//! The running proxy: what it says of itself, and what the system says of its process.

use std::time::SystemTime;

use http::Method;
use serde::de::DeserializeOwned;

use super::finding::Finding;
use super::reach::reach;
use super::{control_server, node, power, preload, process};
use crate::admin::{self, AdminError, Status, Who};
use crate::config::Config;

/// A check that needs the running proxy.
#[derive(Clone, Copy)]
enum Check {
    Listeners,
    Clock,
    Name,
    Tags,
    Tailnet,
    NodeKey,
    Reach,
    Service,
    Https,
    Preload,
    Awake,
}

/// All checks, in the order of their findings.
const CHECKS: [Check; 11] = [
    Check::Listeners,
    Check::Clock,
    Check::Name,
    Check::Tags,
    Check::Tailnet,
    Check::NodeKey,
    Check::Reach,
    Check::Service,
    Check::Https,
    Check::Preload,
    Check::Awake,
];

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    match (ask::<Status>(config, "/status").await, ask::<Who>(config, "/who").await) {
        (Ok(status), Ok(who)) => {
            CHECKS.into_iter().filter_map(|check| check.examine(config, &status, &who)).collect()
        }
        (Err(reason), _) | (_, Err(reason)) => {
            CHECKS.into_iter().filter_map(|check| check.unknown(config, &reason)).collect()
        }
    }
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Listeners => "listeners",
            Check::Clock => "clock",
            Check::Name => "name",
            Check::Tags => "tags",
            Check::Tailnet => "tailnet",
            Check::NodeKey => "node-key",
            Check::Reach => "reach",
            Check::Service => "service",
            Check::Https => "https",
            Check::Preload => "preload",
            Check::Awake => "awake",
        }
    }

    /// `None`: the running proxy has nothing to check.
    fn examine(self, config: &Config, status: &Status, who: &Who) -> Option<Finding> {
        let node = &status.node;
        if !node.has_joined() && !matches!(self, Check::Listeners | Check::Tailnet) {
            return self.unknown(config, "not checked, since the node has not joined the tailnet yet");
        }
        Some(match self {
            Check::Listeners => listeners(status.pid),
            Check::Clock => control_server::clock(node),
            Check::Name => node::name(config, node),
            Check::Tags => control_server::tags(config, node),
            Check::Tailnet => node::tailnet(config, status),
            Check::NodeKey => control_server::node_key(config, node, SystemTime::now()),
            Check::Reach if node.is_running() => reach(config, node, who),
            Check::Reach => {
                Finding::unknown(self.name(), "not checked, since no peer can reach the node now")
            }
            Check::Service => node::service(config, node.service.as_ref()?),
            Check::Https => node::certificate(config, node.certificate.as_ref()?),
            Check::Preload => preload::loaded(&status.preload)?,
            Check::Awake => power::lock(&status.awake)?,
        })
    }

    /// `None`: the config has nothing to check.
    fn unknown(self, config: &Config, reason: &str) -> Option<Finding> {
        let is_configured = match self {
            Check::Service => config.node.service.is_some(),
            Check::Https => config.https_port.is_some(),
            Check::Preload => !config.preload.is_empty(),
            Check::Awake => config.keep_awake,
            _ => true,
        };
        is_configured.then(|| Finding::unknown(self.name(), reason))
    }
}

async fn ask<T: DeserializeOwned>(config: &Config, target: &str) -> Result<T, String> {
    let path = admin::path(&config.node.state_dir);
    match admin::ask(&path, Method::GET, target).await {
        Ok(answer) => serde_json::from_slice(&answer)
            .map_err(|e| format!("the running proxy is of another version than this command: {e}")),
        Err(AdminError::NotRunning { .. }) => {
            Err("not checked, since the proxy does not run: start it, then run doctor again".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Asks the system, since a compromised proxy could hide a listener.
fn listeners(pid: u32) -> Finding {
    match process::listeners(pid) {
        Err(reason) => Finding::unknown("listeners", reason),
        Ok(open) if open.is_empty() => {
            Finding::good("listeners", format!("process {pid} listens on no TCP port of this machine"))
        }
        Ok(open) => Finding::fault(
            "listeners",
            format!("process {pid} listens on {}", open.join(", ")),
            "stop it: a proxy that was built from this source opens none",
        ),
    }
}
