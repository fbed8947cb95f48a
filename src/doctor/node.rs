//! The node in the tailnet: whether it runs, its name, its Service and its certificate.

use super::finding::Finding;
use crate::admin::{NotReady, NotReadyCause, Status};
use crate::config::{Config, PlainHttp};
use crate::control::{ControlTask, custom_url};
use crate::tailnet::{CertificateStatus, NodeStatus, ServiceStatus};

/// What the node says of itself. Ollama's state is a finding of its own.
pub(super) fn tailnet(config: &Config, status: &Status) -> Finding {
    let node = &status.node;
    let of_node = |n: &&NotReady| matches!(n.what, NotReadyCause::Stopping | NotReadyCause::Node);
    if let Some(not_ready) = status.not_ready.as_ref().filter(of_node) {
        return Finding::fault("tailnet", not_ready.reason.clone(), tailnet_remedy(config, node));
    }
    if !node.warnings.is_empty() {
        return Finding::warning(
            "tailnet",
            node.warnings.join("; "),
            "see Tailscale's documentation of the warning; peers may reach the node nevertheless",
        );
    }
    let address = node.addresses.first().map(ToString::to_string);
    let name = if node.dns_name.is_empty() { address.unwrap_or_default() } else { node.dns_name.clone() };
    Finding::good(
        "tailnet",
        format!(
            "the node runs, as {name}; this check cannot tell whether a client reaches it: \
             run curl {}/v1/models on a client",
            config.url(&name)
        ),
    )
}

fn tailnet_remedy(config: &Config, node: &NodeStatus) -> String {
    if node.deleted.is_some() {
        return "stop the proxy, delete the stored node with `remote-ollama-proxy logout`, and start the proxy with a new key"
            .to_owned();
    }
    match &*node.state {
        "NeedsLogin" => format!(
            "{}, or stop the proxy and log the node in with `remote-ollama-proxy login`",
            at_control_server(config, ControlTask::ExtendKey)
        ),
        "NeedsMachineAuth" => at_control_server(config, ControlTask::Approve),
        _ => {
            "see the log for details; `remote-ollama-proxy status` shows when the node runs again".to_owned()
        }
    }
}

pub(super) fn name(config: &Config, node: &NodeStatus) -> Finding {
    let (wanted, full) = (&config.node.hostname, &node.dns_name);
    if !node.magic_dns || full.is_empty() {
        let address = node.addresses.first().map(ToString::to_string).unwrap_or_default();
        return Finding::warning(
            "name",
            "MagicDNS is off in the tailnet, so clients cannot use the node's name",
            format!(
                "{}, or have clients use {}",
                at_control_server(config, ControlTask::MagicDns),
                config.url(&address)
            ),
        );
    }
    match full.split('.').next() {
        Some(given) if given == wanted => {
            // A certificate is for the full name.
            let name = if config.plain_http == PlainHttp::Serve { given } else { full };
            Finding::good("name", format!("clients use {}", config.url(name)))
        }
        _ => Finding::warning(
            "name",
            format!("the tailnet calls this node {full}, not {wanted}"),
            format!("{}, or have clients use the other name", at_control_server(config, ControlTask::Rename)),
        ),
    }
}

pub(super) fn service(config: &Config, service: &ServiceStatus) -> Finding {
    let state = service.to_string();
    if service.withdrawn.is_some() {
        let remedy =
            "none: clients use other hosts of the Service, if there are any, until the reason is gone";
        return Finding::warning("service", state, remedy);
    }
    if service.addresses.is_empty() {
        let approve = at_control_server(config, ControlTask::ApproveService);
        let remedy = match custom_url(config.node.control_url.as_deref()) {
            None => format!("{approve}, or for good by autoApprovers.services in the tailnet policy file"),
            Some(_) => approve,
        };
        return Finding::warning("service", state, remedy);
    }
    Finding::good("service", state)
}

pub(super) fn certificate(config: &Config, certificate: &CertificateStatus) -> Finding {
    let state = certificate.to_string();
    match (&certificate.expiry, &certificate.fault) {
        (Some(_), None) => Finding::good("https", state),
        (None, None) => {
            Finding::warning("https", "the node waits for its certificate", "run doctor again in a minute")
        }
        (None, Some(_)) if config.plain_http != PlainHttp::Serve => Finding::fault(
            "https",
            format!("only HTTPS is served, and there is no certificate: {state}"),
            "docs/https.md says what HTTPS needs; until then set listen.http = \"serve\"",
        ),
        (_, Some(_)) => Finding::warning("https", state, "docs/https.md says what HTTPS needs"),
    }
}

fn at_control_server(config: &Config, task: ControlTask) -> String {
    task.at(config.node.control_url.as_deref())
}
