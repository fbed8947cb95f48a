//! The settings in force, by their names in the config.

use std::time::Duration;

use super::{
    AccessLogConfig, Config, EventsConfig, HttpConfig, LogConfig, LogFormat, NodeConfig, PlainHttp,
    StartOffline, Withdraw,
};
use crate::admission::{Limits, Timeouts};
use crate::events::EventKind;
use crate::policy::{AccessMode, Model, ModelRules};

type Setting = (&'static str, String);

impl Config {
    /// Each setting with its value, except the endpoints. Secrets are not included.
    pub fn listing(&self) -> Vec<(&'static str, String)> {
        let mut settings = node(&self.node);
        settings.extend(ports(self));
        settings.push(("upstream.url", self.upstream.to_string()));
        settings.extend(models(&self.models, &self.preload));
        let mode = match self.access.mode {
            AccessMode::Network => "network",
            AccessMode::Grants => "grants",
        };
        settings.push(("access.mode", mode.to_owned()));
        settings.push(("access.capability", self.access.capability.clone()));
        settings.extend(limits(&self.limits));
        settings.extend(timeouts(&self.timeouts));
        settings.extend(http(&self.http));
        settings.extend(shutdown(self));
        settings.push(("power.keep_awake", self.keep_awake.to_string()));
        settings.extend(log(&self.log));
        settings.extend(access_log(self.access_log.as_ref()));
        settings.extend(events(&self.events));
        settings
    }
}

fn node(node: &NodeConfig) -> Vec<Setting> {
    let start_offline = match node.start_offline {
        StartOffline::Wait => "wait",
        StartOffline::Cached => "cached",
    };
    let file = |path: &Option<std::path::PathBuf>| or_not_set(path.as_ref().map(|path| path.display()), "");
    vec![
        ("node.hostname", node.hostname.clone()),
        ("node.state_dir", node.state_dir.display().to_string()),
        ("node.auth_key_file", file(&node.auth_key_file)),
        ("node.client_secret_file", file(&node.client_secret_file)),
        ("node.keychain", node.keychain.to_string()),
        ("credential", node.credential.to_string()),
        ("node.control_url", or_not_set(node.control_url.as_ref(), "Tailscale's control server")),
        ("node.tags", list(&node.tags, "the tags of the auth key")),
        ("node.service", or_not_set(node.service.as_ref(), "")),
        ("node.ephemeral", node.ephemeral.to_string()),
        ("node.port_mapping", node.port_mapping.to_string()),
        ("node.start_offline", start_offline.to_owned()),
        ("node.up_timeout", time(node.up_timeout)),
    ]
}

fn ports(config: &Config) -> Vec<Setting> {
    let plain_http = match config.plain_http {
        PlainHttp::Serve => "serve",
        PlainHttp::Redirect => "redirect",
        PlainHttp::Off => "off",
    };
    vec![
        ("listen.port", config.port.to_string()),
        ("listen.http", plain_http.to_owned()),
        ("https.enabled", config.https_port.is_some().to_string()),
        ("https.port", config.https_port.map_or("not used".to_owned(), |port| port.to_string())),
        ("metrics.port", or_not_set(config.metrics_port, "")),
        ("metrics.usage", config.usage.to_string()),
        ("page.port", or_not_set(config.page_port, "")),
        ("page.setup", config.page_setup.to_string()),
    ]
}

fn models(rules: &ModelRules, preload: &[Model]) -> Vec<Setting> {
    let preload: Vec<_> = preload.iter().map(ToString::to_string).collect();
    let allow = rules.allow.as_ref().map(|allow| allow.patterns().join(", "));
    let allow_or_deny = |allowed| if allowed { "allow" } else { "deny" }.to_owned();
    vec![
        ("models.allow", or_not_set(allow, "every model")),
        ("models.cloud", allow_or_deny(!rules.local_only)),
        ("models.within", size(rules.within)),
        ("models.keep_alive", allow_or_deny(rules.keep_alive)),
        ("models.load_options", allow_or_deny(rules.load_options)),
        ("models.preload", list(&preload, "no model is loaded in advance")),
    ]
}

fn limits(limits: &Limits) -> Vec<Setting> {
    let quotas = &limits.quotas;
    vec![
        ("limits.running", limits.running.to_string()),
        ("limits.running_per_identity", limits.running_per_identity.to_string()),
        ("limits.waiting", limits.waiting.to_string()),
        ("limits.wait", time(limits.wait)),
        ("limits.requests_per_minute", or_not_set(limits.requests_per_minute, "no limit")),
        ("limits.requests_per_day", or_not_set(quotas.requests_per_day, "no limit")),
        ("limits.requests_per_week", or_not_set(quotas.requests_per_week, "no limit")),
        ("limits.requests_per_month", or_not_set(quotas.requests_per_month, "no limit")),
        ("limits.tokens_per_day", or_not_set(quotas.tokens_per_day, "no limit")),
        ("limits.tokens_per_week", or_not_set(quotas.tokens_per_week, "no limit")),
        ("limits.tokens_per_month", or_not_set(quotas.tokens_per_month, "no limit")),
        ("limits.max_body", size(limits.max_body)),
        ("limits.connections", limits.connections.to_string()),
        ("limits.connections_per_peer", limits.connections_per_peer.to_string()),
    ]
}

fn timeouts(timeouts: &Timeouts) -> Vec<Setting> {
    vec![
        ("timeouts.head", time(timeouts.head)),
        ("timeouts.body_idle", time(timeouts.body)),
        ("timeouts.answer_idle", time(timeouts.answer)),
        ("timeouts.connection_idle", time(timeouts.idle)),
    ]
}

fn http(http: &HttpConfig) -> Vec<Setting> {
    vec![
        ("http.hosts", list(&http.hosts, "only the node's own names and addresses")),
        ("http.preflight", http.preflight.to_string()),
    ]
}

fn shutdown(config: &Config) -> Vec<Setting> {
    let (withdraw, handover) = match config.shutdown.withdraw {
        Withdraw::First(handover) => ("first", time(handover)),
        Withdraw::Last => ("last", "not used".to_owned()),
    };
    vec![
        ("shutdown.drain_timeout", time(config.shutdown.drain_timeout)),
        ("shutdown.withdraw", withdraw.to_owned()),
        ("shutdown.handover", handover),
    ]
}

fn log(log: &LogConfig) -> Vec<Setting> {
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    vec![
        ("log.level", log.level.clone()),
        ("log.format", format.to_owned()),
        ("log.file", or_not_set(log.file.as_ref().map(|file| file.display()), "standard error")),
        ("log.max_size", size(log.rotation.max_size as u64)),
        ("log.max_age", time(log.rotation.max_age)),
    ]
}

fn access_log(log: Option<&AccessLogConfig>) -> Vec<Setting> {
    let of = |value: Option<String>| value.unwrap_or("not used".to_owned());
    vec![
        ("access_log.enabled", log.is_some().to_string()),
        ("access_log.file", of(log.map(|log| log.file.display().to_string()))),
        ("access_log.max_size", of(log.map(|log| size(log.rotation.max_size as u64)))),
        ("access_log.max_age", of(log.map(|log| time(log.rotation.max_age)))),
    ]
}

fn events(events: &EventsConfig) -> Vec<Setting> {
    let on: Vec<_> = events.on.iter().copied().map(EventKind::name).collect();
    vec![
        ("events.command", or_not_set(events.command.as_ref(), "nothing is run")),
        ("events.on", on.join(", ")),
        ("events.timeout", time(events.timeout)),
    ]
}

/// The value, or "not set" with what holds instead.
fn or_not_set(value: Option<impl ToString>, instead: &str) -> String {
    match value {
        Some(value) => value.to_string(),
        None if instead.is_empty() => "not set".to_owned(),
        None => format!("not set: {instead}"),
    }
}

fn list(items: &[String], instead: &str) -> String {
    if items.is_empty() { format!("none: {instead}") } else { items.join(", ") }
}

fn time(duration: Duration) -> String {
    crate::time::format_duration(duration)
}

/// Exact, in the largest unit that divides it.
fn size(bytes: u64) -> String {
    let whole = |unit: u64| (bytes > 0 && bytes.is_multiple_of(unit)).then(|| bytes / unit);
    match (whole(1_000_000), whole(1000)) {
        (Some(n), _) => format!("{n} MB"),
        (None, Some(n)) => format!("{n} kB"),
        (None, None) => format!("{bytes} bytes"),
    }
}
