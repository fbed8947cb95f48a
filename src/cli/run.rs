//! `run`: the parts joined, from the config to the last request.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{ConfigArgs, exit, refuse};
use crate::auth;
use crate::config::{Config, Log, LogFormat};
use crate::policy::{Hosts, Policy};
use crate::proxy::{Drained, Proxy};
use crate::tsnet::{Builder, Error, Event, Events, Node, Status};

pub(super) fn run(args: &ConfigArgs) -> u8 {
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    start_log(&config.log);
    raise_file_limit();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime does not start")
        .and_then(|runtime| runtime.block_on(serve(&config)));
    match outcome {
        Ok(()) => exit::OK,
        Err(error) => {
            tracing::error!("{error:#}");
            exit_code(&error)
        }
    }
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut stop = Stop::new()?;
    let found = auth::key(&config.node).map_err(|fault| Refused(fault.to_string()))?;
    let node = build(config, &found)?;
    tracing::info!(hostname = config.node.hostname, auth_key = %found, "joining the tailnet");
    let status = tokio::select! {
        status = node.up(config.node.up_timeout) => status.map_err(|error| explain(error, &found))?,
        () = stop.wait() => return Ok(()),
    };
    let listener = node.listen(config.port).await?;
    let events = node.events().await?;

    let (policy, current) = watch::channel(Arc::new(policy(config, &status)));
    tracing::info!(
        name = status.dns_name,
        addresses = ?status.addresses,
        port = config.port,
        upstream = %config.upstream,
        endpoints = ?config.endpoints,
        ms = started.elapsed().as_millis() as u64,
        "listening in the tailnet"
    );
    warn_of_other_name(config, &status);

    let mut failed = None;
    let told = async {
        tokio::select! {
            () = stop.wait() => {}
            error = follow(events, config, policy) => failed = Some(error),
        }
        tracing::info!(deadline = ?config.drain_timeout, "stopping: running requests may end");
    };
    let proxy = Proxy::new(current, config.upstream.clone());
    let Drained { cut } = proxy.serve(listener, told, config.drain_timeout).await?;
    node.close().await;
    tracing::info!(cut, "stopped");
    failed.map_or(Ok(()), |error| Err(explain(error, &found)))
}

fn build(config: &Config, found: &auth::Found) -> Result<Node, Error> {
    let node = &config.node;
    Builder::new()
        .hostname(&node.hostname)
        .state_dir(&node.state_dir)
        .auth_key(found.key().map(|key| key.expose()))
        .control_url(node.control_url.as_deref())
        .tags(&node.tags)
        .ephemeral(node.ephemeral)
        .port_mapping(node.port_mapping)
        .build()
}

fn policy(config: &Config, status: &Status) -> Policy {
    let mut hosts = Hosts::default();
    hosts.add_dns_name(&status.dns_name);
    hosts.add(&config.node.hostname);
    status.addresses.iter().for_each(|ip| hosts.add_ip(*ip));
    config.http.hosts.iter().for_each(|name| hosts.add(name));
    Policy { endpoints: config.endpoints, preflight: config.http.preflight, hosts }
}

/// Logs what happens to the node and keeps the policy's names those that the tailnet assigns.
/// Returns what the node can't go on with.
async fn follow(mut events: Events, config: &Config, current: watch::Sender<Arc<Policy>>) -> Error {
    while let Some(event) = events.next().await {
        match event {
            Event::Running => tracing::info!("the tailnet node is running"),
            Event::Health(warnings) if warnings.is_empty() => tracing::info!("the tailnet node is healthy"),
            Event::Health(warnings) => tracing::warn!(?warnings, "the tailnet node is not healthy"),
            Event::Assigned { dns_name, addresses } => {
                let new = policy(config, &Status { dns_name, addresses });
                current.send_if_modified(|policy| {
                    let changed = **policy != new;
                    *policy = Arc::new(new);
                    changed
                });
            }
            Event::NeedsLogin => {
                tracing::error!("the node is no longer logged in: its key was removed or has expired")
            }
            Event::Failed(error @ Error::LoggingRequired) => return error,
            // The node recovers once somebody has acted in the admin console.
            Event::Failed(error) => tracing::error!(%error, "the tailnet node can't be reached by anybody"),
            other => tracing::debug!(?other, "the tailnet node"),
        }
    }
    Error::Closed
}

fn warn_of_other_name(config: &Config, status: &Status) {
    let given = status.dns_name.split('.').next().unwrap_or_default();
    if !given.is_empty() && given != config.node.hostname {
        tracing::warn!(
            wanted = config.node.hostname,
            given,
            "the name was taken in the tailnet, clients must use the given one; remove the other node or rename this one in the admin console"
        );
    }
}

/// What a person has to do, in place of the library's words.
fn explain(error: Error, found: &auth::Found) -> anyhow::Error {
    let way_out = match &error {
        Error::LoginNeeded { url } if found.key().is_none() => {
            format!(
                "no auth key was found: set {} or node.auth_key_file, or open {url} and start again",
                auth::ENV
            )
        }
        Error::LoginNeeded { url } => format!("open {url} and start again"),
        Error::KeyInvalid { .. } | Error::KeyExpired { .. } => {
            format!(
                "make a new auth key in the tailnet's admin console and put it where it was found: {found}"
            )
        }
        Error::ApprovalPending => "approve the device in the admin console and start again".to_owned(),
        Error::ControlUnreachable { .. } => "check the network and node.control_url".to_owned(),
        Error::LoggingRequired => {
            "turn the requirement off in the tailnet, or use another tailnet".to_owned()
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(way_out)
}

/// A fault of the config that shows only when its files are read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Refused>().is_some() {
        return exit::CONFIG;
    }
    match error.downcast_ref::<Error>() {
        Some(Error::KeyInvalid { .. } | Error::KeyExpired { .. }) => exit::NO_PERMISSION,
        Some(Error::LoginNeeded { .. } | Error::ApprovalPending) => exit::NO_PERMISSION,
        Some(Error::ControlUnreachable { .. }) => exit::UNAVAILABLE,
        Some(Error::StateUnusable { .. }) => exit::STATE,
        Some(Error::LoggingRequired) => exit::CONFIG,
        _ => exit::FAILURE,
    }
}

/// SIGTERM or SIGINT.
struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals can't be received");
        Ok(Stop { term: on(SignalKind::terminate())?, int: on(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

fn start_log(log: &Log) {
    use tracing_subscriber::prelude::*;
    let filter: tracing_subscriber::filter::Targets = log.level.parse().unwrap_or_default();
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match log.format {
        LogFormat::Json => to_stderr.json().flatten_event(true).boxed(),
        LogFormat::Text => to_stderr.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}

/// A connection takes two descriptors, and launchd starts processes with a limit of 256.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // macOS takes no value above OPEN_MAX (10240) even where the hard limit is infinite.
    let most = if cfg!(target_os = "macos") { 10_240 } else { 1 << 20 };
    let wanted = limit.maximum.map_or(most, |hard| hard.min(most));
    if limit.current.is_some_and(|now| now < wanted) {
        if let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
        {
            tracing::warn!(%error, wanted, "the limit of open files can't be raised");
        }
    }
}
