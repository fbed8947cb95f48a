//! `check`: the config as it would be used, or all that is wrong with it.

use std::fmt::Write;

use super::args::ConfigArgs;
use super::{refuse, show};
use crate::admission::{Limits, Pace};
use crate::config::{AccessConfig, Config, Log, LogFormat, NodeConfig, StartOffline, default_path};
use crate::policy::Access;

pub(super) fn check(args: &ConfigArgs) -> u8 {
    match args.load() {
        Ok(config) => show(&listing(args, &config)),
        Err(faults) => refuse(&faults),
    }
}

/// What is in force, a line for each setting.
fn listing(args: &ConfigArgs, config: &Config) -> String {
    let node = &config.node;
    let list =
        |items: &[String], none: &str| if items.is_empty() { none.to_owned() } else { items.join(", ") };
    let choose = |on, yes: &str, no: &str| if on { yes.to_owned() } else { no.to_owned() };
    let hosts = list(&config.http.hosts, "no other");
    let format = match config.log.format {
        LogFormat::Text => "as text",
        LogFormat::Json => "as JSON",
    };
    let lines = [
        ("config", source(args)),
        ("node", node.hostname.clone()),
        ("control", node.control_url.clone().unwrap_or_else(|| "Tailscale's own server".to_owned())),
        ("state", node.state_dir.display().to_string()),
        ("joins with", node.credential.to_string()),
        ("tags", list(&node.tags, "those of the key")),
        ("offline", choose(node.ephemeral, "is forgotten by the tailnet", "stays in the tailnet")),
        ("router", choose(node.port_mapping, "is asked for a port", "is not asked for a port")),
        ("comes up", comes_up(node)),
        ("listens", format!("on port {} of its addresses in the tailnet, and nowhere else", config.port)),
        ("access", access(&config.access)),
        ("runs", runs(&config.limits)),
        ("takes", takes(&config.limits)),
        ("waits", waits(&config.pace)),
        ("upstream", config.upstream.to_string()),
        ("hosts", format!("its names and addresses in the tailnet, and {hosts}")),
        ("preflight", choose(config.http.preflight, "goes through", "is refused")),
        ("drains", format!("for at most {}", humantime::format_duration(config.drain_timeout))),
        ("log", format!("{} {format} {}", config.log.level, log_place(&config.log))),
    ];
    let mut text = String::new();
    // Writing to a String can't fail.
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<10} {value}");
    }
    text.push_str("endpoints\n");
    for endpoint in config.endpoints.iter() {
        let _ = writeln!(text, "  {:<20} {:<9} {}", endpoint.name(), endpoint.allow(), endpoint.path());
    }
    text
}

fn comes_up(node: &NodeConfig) -> String {
    let timeout = humantime::format_duration(node.up_timeout);
    match node.start_offline {
        StartOffline::Wait => format!("within {timeout}"),
        StartOffline::Cached => format!("within {timeout}, or at once by what the tailnet said last"),
    }
}

fn access(access: &AccessConfig) -> String {
    let AccessConfig { mode, capability } = access;
    match mode {
        Access::Network => format!("for whom the network rule lets in, narrowed by grants of {capability}"),
        Access::Grants => format!("by grants of {capability} alone"),
    }
}

fn runs(limits: &Limits) -> String {
    let Limits { running, running_per_identity, waiting, wait, requests_per_minute, .. } = *limits;
    let rate = requests_per_minute.map(|n| format!("; {n} per minute and identity")).unwrap_or_default();
    let wait = humantime::format_duration(wait);
    format!(
        "{running} requests at once, {running_per_identity} per identity; {waiting} wait for at most {wait}{rate}"
    )
}

fn takes(limits: &Limits) -> String {
    let Limits { max_body, connections, connections_per_peer, .. } = limits;
    format!("bodies of {max_body} bytes; {connections} connections, {connections_per_peer} per peer")
}

fn waits(pace: &Pace) -> String {
    let time = humantime::format_duration;
    format!(
        "{} for a head, {} for more of a body, {} for an answer to be read, {} for a request",
        time(pace.head),
        time(pace.body),
        time(pace.answer),
        time(pace.idle)
    )
}

fn log_place(log: &Log) -> String {
    let Some(file) = &log.file else { return "on standard error".to_owned() };
    let age = humantime::format_duration(log.rotation.max_age);
    format!("in {}, set aside at {} bytes and kept for {age}", file.display(), log.rotation.max_size)
}

fn source(args: &ConfigArgs) -> String {
    match args.config.clone().or_else(default_path) {
        Some(path) if args.config.is_some() || path.exists() => path.display().to_string(),
        Some(path) => format!("the defaults, since {} does not exist", path.display()),
        None => "the defaults".to_owned(),
    }
}
