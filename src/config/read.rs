//! Reads each section of the config into its checked form. A faulty value is noted, and its default is used
//! instead, so that one pass finds all faults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checked::{
    AccessConfig, AccessLogConfig, CAPABILITY, Config, HttpConfig, LogConfig, LogFormat, NodeConfig,
    PlainHttp, ShutdownConfig, StartOffline, Withdraw,
};
use super::raw::Raw;
use super::section::{Section, section};
use super::{credential, events, log_file, parse};
use crate::admission::{Limits, Timeouts};
use crate::auth::{CredentialSource, Environment};
use crate::ollama::Upstream;
use crate::policy::{AccessMode, Endpoint, EndpointSet, MANAGEMENT, Model, ModelRules, Models, Quotas};
use crate::rotated::Rotation;

/// How long clients get to move to another host of a Service. Source: `kube/services` in Tailscale's source,
/// which waits as long for its control server to choose one.
const HANDOVER: Duration = Duration::from_secs(15);

/// macOS limits the path of a Unix socket to 103 bytes, and `/admin.sock` is appended to the state folder.
const STATE_DIR_MAX: usize = 103 - "/admin.sock".len();

/// Reads all sections. `state_dir` is the default state folder, if this account has one.
pub(super) fn config(raw: &mut Raw<'_>, state_dir: Option<PathBuf>, environment: &Environment) -> Config {
    let node = section(raw, "node", |s| node(s, state_dir, environment));
    let https_port = section(raw, "https", https_port);
    let (port, plain_http) = section(raw, "listen", |s| listen(s, https_port, node.service.is_some()));
    let mut taken = TakenPorts::default();
    if plain_http != PlainHttp::Off {
        taken.add("listen.port", Some(port));
    }
    taken.add("https.port", https_port);
    let (metrics_port, usage) =
        section(raw, "metrics", |s| (auxiliary_port(s, &taken, "metrics"), s.get("usage", false)));
    taken.add("metrics.port", metrics_port);
    let (page_port, page_setup) = section(raw, "page", |s| page(s, &taken));
    let state_dir = node.state_dir.clone();
    let mut preload = Vec::new();
    let mut config = Config {
        node,
        port,
        plain_http,
        https_port,
        metrics_port,
        page_port,
        page_setup,
        usage,
        upstream: section(raw, "upstream", |s| s.text("url", Upstream::default(), parse::upstream)),
        access: section(raw, "access", access),
        limits: section(raw, "limits", limits),
        timeouts: section(raw, "timeouts", timeouts),
        endpoints: section(raw, "endpoints", endpoints),
        models: section(raw, "models", |s| {
            let rules = models(s);
            preload = models_to_load(s);
            rules
        }),
        preload,
        http: section(raw, "http", http),
        shutdown: section(raw, "shutdown", shutdown),
        keep_awake: section(raw, "power", |s| s.get("keep_awake", cfg!(target_os = "macos"))),
        log: section(raw, "log", |s| log(s, &state_dir)),
        access_log: None,
        events: section(raw, "events", events::events),
    };
    let log_file = config.log.file.as_deref();
    config.access_log = section(raw, "access_log", |s| access_log(s, &state_dir, log_file));
    config
}

fn node(s: &mut Section<'_, '_>, default_dir: Option<PathBuf>, environment: &Environment) -> NodeConfig {
    let path = |text: &str| parse::path(text).map(Some);
    let hostname = s.text("hostname", "remote-ollama-proxy".to_owned(), parse::label);
    let state_dir = state_dir(s, default_dir);
    let auth_key_file = s.text("auth_key_file", None, path);
    let client_secret_file = s.text("client_secret_file", None, path);
    let keychain = s.get("keychain", false);
    let control_url = s.text("control_url", None, |url| parse::control_url(url).map(Some));
    let tags = s.list("tags", parse::tag);
    let service = s.text("service", None, |name| parse::service(name).map(Some));
    let mut node = NodeConfig {
        hostname,
        state_dir,
        credential: CredentialSource::Unset,
        auth_key_file,
        client_secret_file,
        keychain,
        control_url,
        tags,
        service,
        ephemeral: s.get("ephemeral", false),
        port_mapping: s.get("port_mapping", false),
        start_offline: s.text("start_offline", StartOffline::Wait, parse::start_offline),
        up_timeout: s.text("up_timeout", Duration::from_secs(60), parse::timeout),
    };
    node.credential = credential::find(s, &node, environment);
    node
}

fn state_dir(s: &mut Section<'_, '_>, default: Option<PathBuf>) -> PathBuf {
    let named = s.text("state_dir", None, |text| parse::path(text).map(Some));
    let Some(path) = named.or(default) else {
        if !s.is_faulty("state_dir") {
            s.fault("state_dir", "no default, because this account has no home folder: set an absolute path");
        }
        return PathBuf::new();
    };
    let length = path.as_os_str().len();
    if length > STATE_DIR_MAX {
        let reason = format!(
            "the path has {length} bytes, but a Unix socket in this folder allows {STATE_DIR_MAX}: \
             choose a shorter path"
        );
        s.fault("state_dir", &reason);
    }
    path
}

fn https_port(s: &mut Section<'_, '_>) -> Option<u16> {
    let (enabled, port) = (s.get("enabled", false), s.parse("port", 443, parse::port));
    if s.is_written("port") && !enabled && !s.is_written("enabled") {
        s.fault("port", "HTTPS is off: set https.enabled = true as well");
    }
    enabled.then_some(port)
}

/// `hosts_service`: whether the node hosts a Tailscale Service.
fn listen(s: &mut Section<'_, '_>, https: Option<u16>, hosts_service: bool) -> (u16, PlainHttp) {
    let port = s.parse("port", 11434, parse::port);
    let plain = s.text("http", PlainHttp::Serve, parse::plain_http);
    if plain != PlainHttp::Serve && https.is_none() {
        s.fault("http", "without HTTPS no port would serve Ollama: set https.enabled = true as well");
    } else if plain != PlainHttp::Serve && hosts_service {
        s.fault("http", "the Service in node.service needs HTTP at listen.port: set \"serve\"");
    }
    if https == Some(port) && plain != PlainHttp::Off {
        s.fault("port", "https.port has the same number: choose another port for one of them");
    }
    (port, plain)
}

/// The ports in use so far, each with its key.
#[derive(Default)]
struct TakenPorts(Vec<(u16, &'static str)>);

impl TakenPorts {
    fn add(&mut self, key: &'static str, port: Option<u16>) {
        self.0.extend(port.map(|port| (port, key)));
    }

    fn key_of(&self, port: u16) -> Option<&'static str> {
        self.0.iter().find(|(taken, _)| *taken == port).map(|(_, key)| *key)
    }
}

/// The port for the metrics or for the page, which has to differ from those in `taken`.
fn auxiliary_port(s: &mut Section<'_, '_>, taken: &TakenPorts, purpose: &str) -> Option<u16> {
    let port = s.parse("port", None, |n| parse::port(n).map(Some))?;
    if let Some(key) = taken.key_of(port) {
        s.fault("port", &format!("{key} has the same number: choose another port for the {purpose}"));
    }
    Some(port)
}

/// The port of the page, and whether it has the set-up for peers.
fn page(s: &mut Section<'_, '_>, taken: &TakenPorts) -> (Option<u16>, bool) {
    let port = auxiliary_port(s, taken, "page");
    let setup = s.get("setup", false);
    if setup && port.is_none() && !s.is_faulty("port") {
        s.fault("setup", "the page port is closed: set page.port as well");
    }
    (port, setup)
}

fn access(s: &mut Section<'_, '_>) -> AccessConfig {
    AccessConfig {
        mode: s.text("mode", AccessMode::Network, parse::access),
        capability: s.text("capability", CAPABILITY.to_owned(), parse::capability),
    }
}

fn limits(s: &mut Section<'_, '_>) -> Limits {
    let running = s.parse("running", 4, parse::count);
    Limits {
        running,
        running_per_identity: s.parse("running_per_identity", (running - 1).max(1), parse::count),
        waiting: s.parse("waiting", 256, parse::count_or_none),
        wait: s.text("wait", Duration::from_secs(300), parse::timeout),
        requests_per_minute: s.parse("requests_per_minute", None, |n| parse::count(n).map(Some)),
        quotas: quotas(s),
        max_body: s.parse("max_body", 100_000_000, |n| parse::count(n).map(u64::from)),
        connections: s.parse("connections", 1024, |n| parse::count(n).map(|n| n as usize)),
        connections_per_peer: s.parse("connections_per_peer", 256, |n| parse::count(n).map(|n| n as usize)),
    }
}

fn quotas(s: &mut Section<'_, '_>) -> Quotas {
    let mut limit = |key| s.parse(key, None, |n| parse::large_count(n).map(Some));
    Quotas {
        requests_per_day: limit("requests_per_day"),
        requests_per_week: limit("requests_per_week"),
        requests_per_month: limit("requests_per_month"),
        tokens_per_day: limit("tokens_per_day"),
        tokens_per_week: limit("tokens_per_week"),
        tokens_per_month: limit("tokens_per_month"),
    }
}

fn timeouts(s: &mut Section<'_, '_>) -> Timeouts {
    let Timeouts { head, body, answer, idle } = Timeouts::default();
    Timeouts {
        head: s.text("head", head, parse::timeout),
        body: s.text("body_idle", body, parse::timeout),
        answer: s.text("answer_idle", answer, parse::timeout),
        idle: s.text("connection_idle", idle, parse::timeout),
    }
}

fn endpoints(s: &mut Section<'_, '_>) -> EndpointSet {
    for route in &MANAGEMENT {
        s.never(route.name, &format!("{} can't be switched on: it {}", route.path, route.harm));
    }
    Endpoint::all().fold(EndpointSet::EMPTY, |set, endpoint| {
        set.with(endpoint, s.get(endpoint.name(), endpoint.default_on()))
    })
}

fn models(s: &mut Section<'_, '_>) -> ModelRules {
    let ModelRules { local_only, within, keep_alive, load_options, .. } = ModelRules::default();
    let patterns = s.list("allow", Models::pattern);
    if s.is_written("allow") && patterns.is_empty() && !s.is_faulty("allow") {
        s.fault("allow", "an empty list refuses every model: list models, or remove the key to allow all");
    }
    ModelRules {
        allow: s.is_written("allow").then(|| Models::of(patterns)),
        local_only: s.text("cloud", local_only, |word| parse::allow(word).map(|allow| !allow)),
        within: s.parse("within", within, |n| parse::count(n).map(u64::from)),
        keep_alive: s.text("keep_alive", keep_alive, parse::allow),
        load_options: s.text("load_options", load_options, parse::allow),
    }
}

fn models_to_load(s: &mut Section<'_, '_>) -> Vec<Model> {
    let mut models = Vec::new();
    for model in s.list("preload", parse::preload) {
        if !models.contains(&model) {
            models.push(model);
        }
    }
    models
}

fn http(s: &mut Section<'_, '_>) -> HttpConfig {
    HttpConfig { hosts: s.list("hosts", parse::host), preflight: s.get("preflight", true) }
}

fn shutdown(s: &mut Section<'_, '_>) -> ShutdownConfig {
    let drain_timeout = s.text("drain_timeout", Duration::from_secs(30), parse::duration);
    let handover = s.text("handover", HANDOVER, parse::duration);
    let withdraw = s.text("withdraw", Withdraw::First(handover), |when| parse::withdraw(when, handover));
    ShutdownConfig { drain_timeout, withdraw }
}

fn log(s: &mut Section<'_, '_>, state_dir: &Path) -> LogConfig {
    let file = s.text("file", None, |text| parse::path(text).map(Some));
    if file.as_deref().is_some_and(|file| log_file::is_own(file, state_dir)) {
        s.fault("file", "the proxy keeps a file of its own at this path: choose another file");
    }
    LogConfig {
        level: s.text("level", "info".to_owned(), parse::log_level),
        format: s.text("format", LogFormat::Text, parse::log_format),
        file,
        rotation: rotation(s),
    }
}

/// `log_file`: the value of `log.file`.
fn access_log(s: &mut Section<'_, '_>, state_dir: &Path, log_file: Option<&Path>) -> Option<AccessLogConfig> {
    let enabled = s.get("enabled", true);
    let file = s.text("file", None, |text| parse::path(text).map(Some));
    if let Some(file) = &file {
        if !log_file::may_hold_records(file, state_dir) {
            s.fault(
                "file",
                "it is in node.state_dir, among the proxy's own files: name it access.jsonl there, or choose another \
                 folder",
            );
        } else if log_file.is_some_and(|other| log_file::are_same(file, other)) {
            s.fault("file", "log.file names the same file: choose another file for one of them");
        }
    }
    let file = file.unwrap_or_else(|| state_dir.join(AccessLogConfig::FILE));
    let rotation = rotation(s);
    enabled.then_some(AccessLogConfig { file, rotation })
}

fn rotation(s: &mut Section<'_, '_>) -> Rotation {
    Rotation {
        max_size: s.parse("max_size", 10_000_000, |n| parse::count(n).map(|n| n as usize)),
        max_age: s.text("max_age", 30 * parse::DAY, parse::age),
    }
}
