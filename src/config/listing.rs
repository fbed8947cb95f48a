//! What is in force, in words.

use super::{AccessConfig, Config, Log, LogFormat, NodeConfig, PlainHttp, StartOffline, Withdraw};
use crate::admission::{Limits, Pace};
use crate::policy::{AccessMode, ModelRules};

impl Config {
    /// Each setting by a short name, but for the endpoints. No secret is among them.
    pub fn listing(&self) -> Vec<(&'static str, String)> {
        let node = &self.node;
        let list =
            |items: &[String], none: &str| if items.is_empty() { none.to_owned() } else { items.join(", ") };
        let choose = |on, yes: &str, no: &str| if on { yes.to_owned() } else { no.to_owned() };
        let hosts = list(&self.http.hosts, "no other");
        let format = match self.log.format {
            LogFormat::Text => "as text",
            LogFormat::Json => "as JSON",
        };
        vec![
            ("node", name(node)),
            ("control", node.control_url.clone().unwrap_or_else(|| "Tailscale's own server".to_owned())),
            ("state", node.state_dir.display().to_string()),
            ("joins with", node.credential.to_string()),
            ("tags", list(&node.tags, "those of the key")),
            ("offline", choose(node.ephemeral, "is forgotten by the tailnet", "stays in the tailnet")),
            ("router", choose(node.port_mapping, "is asked for a port", "is not asked for a port")),
            ("comes up", comes_up(node)),
            ("listens", listens(self)),
            ("access", access(&self.access)),
            ("models", models(&self.models)),
            ("runs", runs(&self.limits)),
            ("takes", takes(&self.limits)),
            ("waits", waits(&self.pace)),
            ("upstream", self.upstream.to_string()),
            ("hosts", format!("its names and addresses in the tailnet, and {hosts}")),
            ("preflight", choose(self.http.preflight, "goes through", "is refused")),
            ("drains", drains(self)),
            ("tokens", choose(self.usage, "are counted, as answers tell them", "are not counted")),
            ("log", format!("{} {format} {}", self.log.level, log_place(&self.log))),
        ]
    }
}

fn name(node: &NodeConfig) -> String {
    let service = node.service.as_ref().map(|service| format!(", which hosts {service}")).unwrap_or_default();
    format!("{}{service}", node.hostname)
}

fn listens(config: &Config) -> String {
    let Config { port, https_port, metrics_port, page_port, .. } = config;
    let plain = match config.plain_http {
        PlainHttp::Serve => Some(format!("on port {port}")),
        PlainHttp::Redirect => Some(format!("to send clients to HTTPS on port {port}")),
        PlainHttp::Off => None,
    };
    let https = https_port.map(|port| format!("for HTTPS on port {port}"));
    let metrics = metrics_port.map(|port| format!("for the metrics on port {port}"));
    let page = page_port.map(|port| format!("for the page on port {port}"));
    let ports: Vec<_> = plain.into_iter().chain(https).chain(metrics).chain(page).collect();
    let (first, others) = ports.split_first().map_or(("", &[][..]), |(first, others)| (first, others));
    let others: String = others.iter().map(|other| format!(", {other}")).collect();
    format!("{first} of its addresses in the tailnet{others}, and nowhere else")
}

fn drains(config: &Config) -> String {
    let drain = format!("for at most {}", humantime::format_duration(config.shutdown.drain_timeout));
    match config.shutdown.withdraw {
        _ if config.node.service.is_none() => drain,
        Withdraw::First(handover) => {
            format!("{drain}, after {} without the Service", humantime::format_duration(handover))
        }
        Withdraw::Last => format!("{drain}, then withdraws the Service"),
    }
}

fn comes_up(node: &NodeConfig) -> String {
    let timeout = humantime::format_duration(node.up_timeout);
    match node.start_offline {
        StartOffline::Wait => format!("within {timeout}"),
        StartOffline::Cached => format!("within {timeout}, or at once by what the tailnet said last"),
    }
}

fn log_place(log: &Log) -> String {
    let Some(file) = &log.file else { return "on standard error".to_owned() };
    let age = humantime::format_duration(log.rotation.max_age);
    format!("in {}, set aside at {} and kept for {age}", file.display(), size(log.rotation.max_size as u64))
}

fn access(access: &AccessConfig) -> String {
    let AccessConfig { mode, capability } = access;
    match mode {
        AccessMode::Network => {
            format!("for whom the network rule lets in, narrowed by grants of {capability}")
        }
        AccessMode::Grants => format!("by grants of {capability} alone"),
    }
}

fn models(rules: &ModelRules) -> String {
    let some = rules.allow.as_ref().map(|allow| allow.patterns().join(", "));
    if some.is_none() && !rules.deny_cloud {
        return "every one, unless a grant names some".to_owned();
    }
    let cloud = if rules.deny_cloud { ", none in the cloud" } else { "" };
    let within = size(rules.within);
    format!("{}{cloud}, named in the first {within} of a body", some.unwrap_or("every one".to_owned()))
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
    format!("bodies of {}; {connections} connections, {connections_per_peer} per peer", size(*max_body))
}

/// To the byte: what is in force is not rounded.
fn size(bytes: u64) -> String {
    let whole = |unit: u64| (bytes > 0 && bytes.is_multiple_of(unit)).then(|| bytes / unit);
    match (whole(1_000_000), whole(1000)) {
        (Some(n), _) => format!("{n} MB"),
        (None, Some(n)) => format!("{n} kB"),
        (None, None) => format!("{bytes} bytes"),
    }
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
