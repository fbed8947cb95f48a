//! The running proxy: what it says of itself, and what the system says of its process.

use std::process::Command;
use std::time::SystemTime;

use http::Method;
use serde::de::DeserializeOwned;

use super::finding::Finding;
use super::reach::reach;
use super::{control_server, node};
use crate::admin::{self, AdminError, Status, Who};
use crate::config::Config;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let (status, who) = match (ask::<Status>(config, "/status").await, ask::<Who>(config, "/who").await) {
        (Ok(status), Ok(who)) => (status, who),
        (Err(reason), _) | (_, Err(reason)) => {
            let checks = ["listeners", "clock", "name", "tags", "tailnet", "node-key", "reach"];
            let service = config.node.service.as_ref().map(|_| "service");
            return checks
                .into_iter()
                .chain(service)
                .map(|check| Finding::unknown(check, reason.clone()))
                .collect();
        }
    };
    if !status.node.has_joined() {
        return joining(config, &status);
    }
    let mut findings = vec![
        listeners(status.pid),
        control_server::clock(&status.node),
        node::name(config, &status.node),
        control_server::tags(config, &status.node),
        node::tailnet(config, &status),
        control_server::node_key(config, &status.node, SystemTime::now()),
        if status.node.is_running() {
            reach(config, &status.node, &who)
        } else {
            Finding::unknown("reach", "not checked, since no peer can reach the node now")
        },
    ];
    findings.extend(status.node.service.as_ref().map(|service| node::service(config, service)));
    findings
        .extend(status.node.certificate.as_ref().map(|certificate| node::certificate(config, certificate)));
    findings
}

/// The findings of a node that has not joined.
fn joining(config: &Config, status: &Status) -> Vec<Finding> {
    let unknown =
        |check| Finding::unknown(check, "not checked, since the node has not joined the tailnet yet");
    vec![
        listeners(status.pid),
        unknown("clock"),
        unknown("name"),
        unknown("tags"),
        node::tailnet(config, status),
        unknown("node-key"),
        unknown("reach"),
    ]
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
    let arguments = ["-nP", "-a", "-iTCP", "-sTCP:LISTEN", "-Fn", "-p"];
    let output = match Command::new("lsof").args(arguments).arg(pid.to_string()).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => {
            return Finding::unknown(
                "listeners",
                format!("cannot run lsof, which lists the sockets of a process: {error}"),
            );
        }
    };
    let open: Vec<_> = output.lines().filter_map(|line| line.strip_prefix('n')).collect();
    if open.is_empty() {
        return Finding::good("listeners", format!("process {pid} listens on no TCP port of this machine"));
    }
    Finding::fault(
        "listeners",
        format!("process {pid} listens on {}", open.join(", ")),
        "stop it: a proxy that was built from this source opens none",
    )
}
