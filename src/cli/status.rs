//! `status`: the state of the running proxy.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use clap::Args;
use http::Method;

use super::args::ConfigArgs;
use super::ask::{ask, refuse_to_ask};
use super::units::{bytes, count, time};
use super::{exit, show};
use crate::admin::{ListedRequest, NotReady, NotReadyCause, RequestState, Status, StatusPeer};
use crate::awake::AwakeState;
use crate::ollama::{LoadedModel, OllamaStatus};
use crate::preload::PreloadedModel;
use crate::tailnet::NodeStatus;

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
        Ok(answer) => {
            let text = if args.json {
                format!("{}\n", answer.text)
            } else {
                listing(&answer.value, SystemTime::now())
            };
            show(&text).max(exit_code(&answer.value))
        }
        Err(code) => code,
    }
}

/// The state as an exit code, for scripts.
fn exit_code(status: &Status) -> u8 {
    match status.not_ready.as_ref().map(|n| n.what) {
        None => exit::OK,
        Some(NotReadyCause::Node) if matches!(&*status.node.state, "NeedsLogin" | "NeedsMachineAuth") => {
            exit::NO_PERMISSION
        }
        Some(_) => exit::UNAVAILABLE,
    }
}

/// Lines with a name in front of each.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<10} {}", value.as_ref());
    }
}

fn listing(status: &Status, now: SystemTime) -> String {
    let mut lines = Lines::default();
    add_process(&mut lines, status, now);
    add_node(&mut lines, &status.node);
    add_ollama(&mut lines, &status.ollama, now);
    status.preload.iter().for_each(|model| lines.add("  preload", preload(model)));
    add_requests(&mut lines, status, now);
    if status.awake != AwakeState::Off {
        lines.add("awake", status.awake.to_string());
    }
    status.logs.iter().filter(|log| !log.is_sound()).for_each(|log| lines.add(&log.name, log.to_string()));
    lines.add("peers", status.peers.len().to_string());
    status.peers.iter().for_each(|p| lines.add(&format!("  {}", p.node), peer(p)));
    let Lines(mut text) = lines;
    text.push_str("config\n");
    for (name, value) in &status.config {
        let _ = writeln!(text, "  {name:<27} {value}");
    }
    text
}

fn add_process(lines: &mut Lines, status: &Status, now: SystemTime) {
    match &status.not_ready {
        None => lines.add("serves", "yes"),
        Some(NotReady { reason, .. }) => lines.add("serves", format!("no: {reason}")),
    }
    let uptime = status.uptime(now).map(time).unwrap_or_default();
    lines.add("runs", format!("version {}, for {uptime}, since {}", status.version, status.since));
    if status.panics > 0 {
        lines.add("panics", format!("{}: faults in the program; the log has each", status.panics));
    }
}

fn add_node(lines: &mut Lines, node: &NodeStatus) {
    if node.addresses.is_empty() {
        lines.add("node", &node.state);
    } else {
        lines.add("node", format!("{}, {}", node.dns_name, node.state));
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        lines.add("addresses", addresses.join(", "));
        let expiry = node.key_expiry.as_ref();
        lines.add("key", expiry.map_or("never expires".to_owned(), |at| format!("expires {at}")));
    }
    node.certificate.iter().for_each(|certificate| lines.add("HTTPS", certificate.to_string()));
    node.service.iter().for_each(|service| lines.add("service", service.to_string()));
    node.error.iter().for_each(|error| lines.add("error", error));
    node.warnings.iter().for_each(|warning| lines.add("warning", warning));
}

fn add_ollama(lines: &mut Lines, ollama: &OllamaStatus, now: SystemTime) {
    let OllamaStatus { url, version, models, fault } = ollama;
    let fault = fault.as_deref().unwrap_or_default();
    lines.add(
        "ollama",
        match version {
            None => format!("down: {fault}"),
            Some(version) if fault.is_empty() => format!("{url}, version {version}"),
            Some(version) => format!("{url}, version {version}: {fault}"),
        },
    );
    models.iter().for_each(|m| lines.add("  model", model(m, now)));
}

fn add_requests(lines: &mut Lines, status: &Status, now: SystemTime) {
    let Status { running, waiting, connections, limits, .. } = status;
    lines.add(
        "requests",
        format!(
            "{running} running (limit {}), {waiting} waiting (limit {}), {} (limit {})",
            limits.running,
            limits.waiting,
            count(*connections, "session"),
            limits.connections
        ),
    );
    status.requests.iter().for_each(|r| lines.add(&format!("  {}", r.id), request(r, now)));
}

fn model(LoadedModel { name, size, size_vram, expires_at }: &LoadedModel, now: SystemTime) -> String {
    let loaded = loaded_until(expires_at, now);
    format!("{name}, {}, {} on a GPU, {loaded}", bytes(*size), bytes(*size_vram))
}

fn preload(PreloadedModel { model, state, reason }: &PreloadedModel) -> String {
    let reason = reason.as_ref().map(|reason| format!(": {reason}"));
    format!("{model}, {}{}", state.word(), reason.unwrap_or_default())
}

/// For a model that is never unloaded, Ollama gives a time centuries ahead.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn loaded_until(expires_at: &str, now: SystemTime) -> String {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let Ok(at) = expires_at.parse::<Timestamp>() else { return "loaded".to_owned() };
    let left = Duration::from_secs(at.as_second().max(0) as u64).saturating_sub(now);
    match left {
        left if left > NEVER => "kept loaded".to_owned(),
        left if left < Duration::from_secs(1) => "about to be unloaded".to_owned(),
        left => format!("unloaded after {} without a request", time(left)),
    }
}

fn request(r: &ListedRequest, now: SystemTime) -> String {
    let state = match r.state {
        RequestState::Waiting => "waiting",
        RequestState::Running => "running",
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
    format!("({}) {path}, {}", p.principal, count(p.connections, "session"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_until_a_model_is_unloaded_is_short() {
        let now = crate::time::parse_rfc3339("2026-11-24T16:44:13Z").unwrap();
        for (at, text) in [
            ("2319-03-06T04:31:30.123456789Z", "kept loaded"),
            ("2026-11-24T17:49:13.987654321+01:00", "unloaded after 5m without a request"),
            ("2026-11-24T16:44:13Z", "about to be unloaded"),
            ("0001-01-01T00:00:00Z", "about to be unloaded"),
            ("", "loaded"),
        ] {
            assert_eq!(loaded_until(at, now), text, "{at}");
        }
    }
}
