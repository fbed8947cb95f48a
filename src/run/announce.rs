//! Logs where the proxy listens, and warns if the node's name or tags differ from the config.

use super::build::Parts;
use crate::config::Config;
use crate::control::{ControlTask, how_to_retag, tag_mismatch};
use crate::tsnet::Status;

pub(super) fn announce(parts: &Parts, status: &Status) {
    let config = parts.settings.config();
    tracing::info!(
        name = status.dns_name,
        addresses = ?status.addresses,
        port = config.port,
        https_port = config.https_port,
        metrics_port = config.metrics_port,
        page_port = config.page_port,
        service = config.node.service,
        upstream = %config.upstream,
        endpoints = ?config.endpoints,
        ms = parts.started.elapsed().as_millis() as u64,
        "listening in the tailnet"
    );
    warn_of_other_name(&config, status);
    warn_of_other_tags(&config, status);
}

fn warn_of_other_name(config: &Config, status: &Status) {
    let given = status.dns_name.split('.').next().unwrap_or_default();
    if !given.is_empty() && given != config.node.hostname {
        tracing::warn!(
            wanted = config.node.hostname,
            given,
            "another node has the name: clients must use the given one, or {}",
            ControlTask::Rename.at(config.node.control_url.as_deref())
        );
    }
}

fn warn_of_other_tags(config: &Config, status: &Status) {
    if let Some(reason) = tag_mismatch(&config.node.tags, status.user.as_deref(), &status.tags) {
        let way_out = how_to_retag(config.node.control_url.as_deref());
        tracing::warn!(reason, "the node's tags differ from the config: {way_out}");
    }
}
