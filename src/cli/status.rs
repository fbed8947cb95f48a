//! `status`: how the running proxy is.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use clap::Args;
use http::Method;

use super::args::ConfigArgs;
use super::ask::{ask, refuse_to_ask};
use super::units::{bytes, count, time};
use super::{exit, show};
use crate::admin::{Model, NotReady, Request, State, Status, StatusPeer, What};

/// What `status` takes.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: &StatusArgs) -> u8 {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(faults) => return refuse_to_ask(&faults),
    };
    match ask::<Status>(&config, Method::GET, "/status") {
        Ok((answer, status)) => {
            let text = if args.json { format!("{answer}\n") } else { listing(&status, SystemTime::now()) };
            show(&text).max(code(&status))
        }
        Err(code) => code,
    }
}

/// What the state comes to, for scripts.
fn code(status: &Status) -> u8 {
    match status.not_ready.as_ref().map(|n| n.what) {
        None => exit::OK,
        Some(What::Node) if matches!(&*status.node.state, "NeedsLogin" | "NeedsMachineAuth") => {
            exit::NO_PERMISSION
        }
        Some(_) => exit::UNAVAILABLE,
    }
}

fn listing(status: &Status, now: SystemTime) -> String {
    let Status { node, ollama, limits, .. } = status;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    match &status.not_ready {
        None => line("serves", "yes"),
        Some(NotReady { reason, .. }) => line("serves", &format!("no: {reason}")),
    }
    let uptime = status.uptime(now).map(time).unwrap_or_default();
    line("runs", &format!("version {}, for {uptime}, since {}", status.version, status.since));
    if status.panics > 0 {
        line("panics", &format!("{}, faults in the program: the log tells of each", status.panics));
    }
    if node.addresses.is_empty() {
        line("node", &node.state);
    } else {
        line("node", &format!("{}, {}", node.dns_name, node.state));
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        line("addresses", &addresses.join(", "));
        let expiry = node.key_expiry.as_ref();
        line("key", &expiry.map_or("never expires".to_owned(), |at| format!("expires {at}")));
    }
    node.certificate.iter().for_each(|certificate| line("HTTPS", &certificate.to_string()));
    node.service.iter().for_each(|service| line("service", &service.to_string()));
    node.error.iter().for_each(|error| line("error", error));
    node.warnings.iter().for_each(|warning| line("warning", warning));
    let version = ollama.version.as_ref().map_or("down".to_owned(), |v| format!("version {v}"));
    let fault = ollama.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
    line("ollama", &format!("{}, {version}{fault}", ollama.url));
    ollama.models.iter().for_each(|m| line("  model", &model(m, now)));
    let Status { running, waiting, connections, .. } = status;
    line(
        "requests",
        &format!(
            "{running} running (limit {}), {waiting} waiting (limit {}), {} (limit {})",
            limits.running,
            limits.waiting,
            count(*connections, "connection"),
            limits.connections
        ),
    );
    status.requests.iter().for_each(|r| line(&format!("  {}", r.id), &request(r, now)));
    status.logs.iter().filter(|log| !log.is_sound()).for_each(|log| line(&log.name, &log.to_string()));
    line("peers", &status.peers.len().to_string());
    status.peers.iter().for_each(|p| line(&format!("  {}", p.node), &peer(p)));
    text.push_str("config\n");
    for (name, value) in &status.config {
        let _ = writeln!(text, "  {name:<27} {value}");
    }
    text
}

fn model(Model { name, size, size_vram, expires_at }: &Model, now: SystemTime) -> String {
    let kept = kept(expires_at, now);
    format!("{name}, {}, {} on a GPU, {kept}", bytes(*size), bytes(*size_vram))
}

/// Ollama gives a time in centuries for a model that it is told to keep.
const FOR_GOOD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn kept(expires_at: &str, now: SystemTime) -> String {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let Ok(at) = chrono::DateTime::parse_from_rfc3339(expires_at) else { return "loaded".to_owned() };
    let left = Duration::from_secs(at.timestamp().max(0) as u64).saturating_sub(now);
    match left {
        left if left > FOR_GOOD => "kept loaded".to_owned(),
        left if left < Duration::from_secs(1) => "about to be unloaded".to_owned(),
        left => format!("loaded for another {} unless it is asked", time(left)),
    }
}

fn request(r: &Request, now: SystemTime) -> String {
    let state = match r.state {
        State::Waiting => "waiting",
        State::Running => "running",
    };
    format!(
        "{} ({}), {}, {state} for {}, {} in, {} out",
        r.node,
        r.principal,
        r.endpoint,
        time(r.age(now)),
        bytes(r.bytes_in),
        bytes(r.bytes_out)
    )
}

fn peer(p: &StatusPeer) -> String {
    let path = match (&p.direct, &p.relay) {
        (Some(at), _) => format!("direct from {at}"),
        (None, Some(relay)) => format!("relayed by {relay}"),
        (None, None) if p.online => "online".to_owned(),
        (None, None) => "offline".to_owned(),
    };
    format!("({}) {path}, {}", p.principal, count(p.connections, "connection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_model_is_kept_is_short() {
        let now = humantime::parse_rfc3339("2026-11-24T16:44:13Z").unwrap();
        for (at, said) in [
            ("2319-03-06T04:31:30.123456789Z", "kept loaded"),
            ("2026-11-24T17:49:13.987654321+01:00", "loaded for another 5m unless it is asked"),
            ("2026-11-24T16:44:13Z", "about to be unloaded"),
            ("0001-01-01T00:00:00Z", "about to be unloaded"),
            ("", "loaded"),
        ] {
            assert_eq!(kept(at, now), said, "{at}");
        }
    }
}
