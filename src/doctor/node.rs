//! The running proxy: asked itself, and looked at from outside.

use std::process::Command;
use std::time::SystemTime;

use http::Method;
use serde::de::DeserializeOwned;

use super::reach::reach;
use super::{Finding, standing};
use crate::admin::{self, AskFault, NotReady, Status, What, Who};
use crate::config::{Config, PlainHttp};
use crate::control::ControlTask;
use crate::tailnet::{CertificateStatus, NodeStatus, ServiceStatus};

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let (status, who) = match (ask::<Status>(config, "/status").await, ask::<Who>(config, "/who").await) {
        (Ok(status), Ok(who)) => (status, who),
        (Err(reason), _) | (_, Err(reason)) => {
            let names = ["listeners", "clock", "name", "tags", "tailnet", "node-key", "reach"].into_iter();
            let service = config.node.service.as_ref().map(|_| "service");
            let unknown = |check| Finding::unknown(check, reason.clone());
            return names.chain(service).map(unknown).collect();
        }
    };
    if !status.node.has_joined() {
        let unknown = |check| Finding::unknown(check, "not checked, since the node has not joined yet");
        return vec![
            listeners(status.pid),
            unknown("clock"),
            unknown("name"),
            unknown("tags"),
            tailnet(config, &status),
            unknown("node-key"),
            unknown("reach"),
        ];
    }
    let reach = match status.node.is_running() {
        true => reach(config, &status.node, &who),
        false => Finding::unknown("reach", "not checked, since nobody can reach the node now"),
    };
    let mut findings = vec![
        listeners(status.pid),
        standing::clock(&status.node),
        name(config, &status.node),
        standing::tags(config, &status.node),
        tailnet(config, &status),
        standing::node_key(config, &status.node, SystemTime::now()),
        reach,
    ];
    findings.extend(status.node.service.as_ref().map(|found| service(config, found)));
    findings.extend(status.node.certificate.as_ref().map(|found| certificate(config, found)));
    findings
}

async fn ask<T: DeserializeOwned>(config: &Config, target: &str) -> Result<T, String> {
    let path = admin::path(&config.node.state_dir);
    match admin::ask(&path, Method::GET, target).await {
        Ok(answer) => serde_json::from_slice(&answer)
            .map_err(|e| format!("the running proxy is of another version: {e}")),
        Err(AskFault::NotRunning { .. }) => {
            Err("not checked, since the proxy does not run: start it, then this again".to_owned())
        }
        Err(fault) => Err(fault.to_string()),
    }
}

/// The system's word, not the proxy's.
fn listeners(pid: u32) -> Finding {
    let arguments = ["-nP", "-a", "-iTCP", "-sTCP:LISTEN", "-Fn", "-p"];
    let told = match Command::new("lsof").args(arguments).arg(pid.to_string()).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => {
            return Finding::unknown(
                "listeners",
                format!("lsof, which tells the sockets of a process, does not run: {error}"),
            );
        }
    };
    let open: Vec<_> = told.lines().filter_map(|line| line.strip_prefix('n')).collect();
    match open.is_empty() {
        true => Finding::good("listeners", format!("process {pid} listens on no TCP port of this machine")),
        false => Finding::fault(
            "listeners",
            format!("process {pid} listens on {}", open.join(", ")),
            "stop it: a proxy that was built from this source opens none",
        ),
    }
}

fn name(config: &Config, node: &NodeStatus) -> Finding {
    let (wanted, full) = (&config.node.hostname, &node.dns_name);
    if !node.magic_dns || full.is_empty() {
        let address = node.addresses.first().map(ToString::to_string).unwrap_or_default();
        return Finding::warning(
            "name",
            "MagicDNS is off in the tailnet, so no client can use the node's name",
            format!(
                "{}, or have clients use {}",
                at_control(config, ControlTask::MagicDns),
                config.url(&address)
            ),
        );
    }
    match full.split('.').next() {
        Some(given) if given == wanted => {
            // A certificate is for the whole name.
            let name = if config.plain_http == PlainHttp::Serve { given } else { full };
            Finding::good("name", format!("clients use {}", config.url(name)))
        }
        _ => Finding::warning(
            "name",
            format!("the tailnet calls this node {full}, not {wanted}"),
            format!("{}, or tell clients the other name", at_control(config, ControlTask::Rename)),
        ),
    }
}

fn at_control(config: &Config, task: ControlTask) -> String {
    task.at(config.node.control_url.as_deref())
}

fn service(config: &Config, service: &ServiceStatus) -> Finding {
    let told = service.to_string();
    match &service.withdrawn {
        None if service.addresses.is_empty() => Finding::warning(
            "service",
            told,
            format!(
                "{}, or for good by autoApprovers.services in the tailnet policy file",
                at_control(config, ControlTask::ApproveService)
            ),
        ),
        None => Finding::good("service", told),
        Some(_) => Finding::warning(
            "service",
            told,
            "clients are led to other hosts, if there are any, until this has passed",
        ),
    }
}

fn certificate(config: &Config, certificate: &CertificateStatus) -> Finding {
    let told = certificate.to_string();
    match (&certificate.expiry, &certificate.fault) {
        (None, Some(_)) if config.plain_http != PlainHttp::Serve => Finding::fault(
            "https",
            format!("nobody may ask but by HTTPS, and there is no certificate: {told}"),
            "docs/https.md says what HTTPS takes; until then set listen.http = \"serve\"",
        ),
        (Some(_), None) => Finding::good("https", told),
        (None, None) => Finding::warning("https", "the certificate has yet to come", "ask again in a minute"),
        (_, Some(_)) => Finding::warning("https", told, "docs/https.md says what HTTPS takes"),
    }
}

/// As far as can be told from this side. That Ollama does not answer is a finding of its own.
fn tailnet(config: &Config, status: &Status) -> Finding {
    let of_the_node = |not_ready: &&NotReady| matches!(not_ready.what, What::Stopping | What::Node);
    match status.not_ready.as_ref().filter(of_the_node) {
        Some(not_ready) => {
            Finding::fault("tailnet", not_ready.reason.clone(), tailnet_remedy(config, &status.node))
        }
        None if !status.node.warnings.is_empty() => Finding::warning(
            "tailnet",
            status.node.warnings.join("; "),
            "see what tailscale says of it; peers may reach the node all the same",
        ),
        None => Finding::good("tailnet", {
            let NodeStatus { dns_name, addresses, .. } = &status.node;
            let address = addresses.first().map(ToString::to_string);
            let at = if dns_name.is_empty() { address.unwrap_or_default() } else { dns_name.clone() };
            format!(
                "the node says that it runs, as {at}; whether a client gets through is not checked from here: \
                 on one, curl {}/v1/models",
                config.url(&at)
            )
        }),
    }
}

fn tailnet_remedy(config: &Config, node: &NodeStatus) -> String {
    if node.deleted.is_some() {
        return "stop the proxy, take what is stored of the node away with `remote-ollama-proxy logout`, and start it with a new key".to_owned();
    }
    match &*node.state {
        "NeedsLogin" => format!(
            "{}, or stop the proxy and log the node in with `remote-ollama-proxy login`",
            at_control(config, ControlTask::ExtendKey)
        ),
        "NeedsMachineAuth" => at_control(config, ControlTask::Approve),
        _ => "the log says more; `status` shows when it has passed".to_owned(),
    }
}
