//! The config with every value parsed. What it cannot express cannot be wrong.

use std::path::PathBuf;
use std::time::Duration;

use super::parse;
use super::raw::Raw;
use super::section::Section;
use crate::admission::{Limits, Pace};
use crate::auth::{self, Environment, Found, Keychain, Kind};
use crate::ollama::Upstream;
use crate::policy::{AccessMode, Endpoint, EndpointSet, MANAGEMENT, ModelRules, Models};
use crate::rotated::Rotation;

/// A valid config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node in the tailnet.
    pub node: NodeConfig,
    /// The port in the tailnet, 1 to 65535.
    pub port: u16,
    /// What is done there.
    pub plain_http: PlainHttp,
    /// Another one, for HTTPS; `None`: there is none.
    pub https_port: Option<u16>,
    /// Another one there, for the metrics alone; `None`: there is none.
    pub metrics_port: Option<u16>,
    /// Another one there, for the page alone; `None`: there is none.
    pub page_port: Option<u16>,
    /// Whether tokens are counted, by what answers say of them.
    pub usage: bool,
    /// Ollama.
    pub upstream: Upstream,
    /// What peers may do whom the tailnet lets in.
    pub access: AccessConfig,
    /// How much is let in.
    pub limits: Limits,
    /// How long clients may be silent: each 1 second to 24 hours.
    pub pace: Pace,
    /// The endpoints that are on.
    pub endpoints: EndpointSet,
    /// The models that may be asked for.
    pub models: ModelRules,
    /// Hosts and preflight.
    pub http: Http,
    /// What happens once the process is told to stop.
    pub shutdown: Shutdown,
    /// The log.
    pub log: Log,
}

/// What is done at the port for HTTP, where there is one for HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// Ollama is asked there as well.
    Serve,
    /// Requests are sent to the port for HTTPS.
    Redirect,
    /// Nothing listens there.
    Off,
}

/// What happens once the process is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// How long running requests may take to end: 0 to 24 hours.
    pub drain_timeout: Duration,
    /// When the Service is withdrawn, where the node hosts one.
    pub withdraw: Withdraw,
}

/// When a host that is told to stop withdraws its Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdraw {
    /// Before anything else. Requests are then served as before for so long, 0 to 24 hours, while the
    /// tailnet leads clients to other hosts.
    First(Duration),
    /// Once the running requests have ended.
    Last,
}

/// The node in the tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The name wanted: one DNS label.
    pub hostname: String,
    /// Where the node keeps its keys.
    pub state_dir: PathBuf,
    /// What the node joins with the first time.
    pub credential: Found,
    /// The file with an auth key that the config names.
    pub auth_key_file: Option<PathBuf>,
    /// The file with an OAuth client secret that the config names.
    pub client_secret_file: Option<PathBuf>,
    /// Whether the keychain is one of the places where that is looked for.
    pub keychain: bool,
    /// The control server; `None` is Tailscale's.
    pub control_url: Option<String>,
    /// The tags to advertise, each `tag:name`.
    pub tags: Vec<String>,
    /// The Tailscale Service that the node hosts beside its own name, `svc:` included.
    pub service: Option<String>,
    /// Whether the tailnet forgets the node when it goes offline.
    pub ephemeral: bool,
    /// Whether to ask the router for a port.
    pub port_mapping: bool,
    /// What a stored node does while the control server can't be reached.
    pub start_offline: StartOffline,
    /// How long coming up may take: 1 second to 24 hours.
    pub up_timeout: Duration,
}

/// What a stored node does at its start while the control server can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffline {
    /// It waits, since nobody else knows who may connect today.
    Wait,
    /// It lets in whom the tailnet let in when the node last heard of it.
    Cached,
}

/// What peers may do whom the tailnet lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessConfig {
    /// Whether a peer without a grant may use the whole allowlist or nothing.
    pub mode: AccessMode,
    /// The name of the app capability that grants stand under.
    pub capability: String,
}

/// The capability's name unless the config says otherwise. The domain is reserved for private use
/// (ICANN resolution of 2024-07-29 on `.internal`), so no other software's grants can be meant.
pub const CAPABILITY: &str = "remote-ollama-proxy.internal/cap/ollama";

/// What is particular to HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Names for this node beside its own in the tailnet.
    pub hosts: Vec<String>,
    /// Whether browsers' preflights go through.
    pub preflight: bool,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Directives as `tracing_subscriber::filter::Targets` reads them: `info`, `warn,access=info`.
    pub level: String,
    /// For people or for machines.
    pub format: LogFormat,
    /// Where it goes; `None` is standard error.
    pub file: Option<PathBuf>,
    /// When that file is set aside.
    pub rotation: Rotation,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// The ports at which Ollama is asked, that for HTTP first; there is one at least.
    pub fn ports(&self) -> impl Iterator<Item = u16> + Clone {
        let plain = (self.plain_http == PlainHttp::Serve).then_some(self.port);
        plain.into_iter().chain(self.https_port)
    }

    /// The address at which clients ask, where they call the node `name`.
    pub fn url(&self, name: &str) -> String {
        match (self.plain_http, self.https_port) {
            (PlainHttp::Redirect | PlainHttp::Off, Some(443)) => format!("https://{name}"),
            (PlainHttp::Redirect | PlainHttp::Off, Some(port)) => format!("https://{name}:{port}"),
            _ => format!("http://{name}:{}", self.port),
        }
    }

    /// Reads everything out of `raw`, which notes the faults; defaults stand in for what is faulty.
    /// `state_dir` is the default for the node's state folder, where there is one.
    pub(super) fn read(raw: &mut Raw<'_>, state_dir: Option<PathBuf>, environment: &Environment) -> Config {
        let node = raw.section("node", |s| node(s, state_dir, environment));
        let https_port = raw.section("https", https_port);
        let (port, plain_http) = raw.section("listen", |s| listen(s, https_port, node.service.is_some()));
        let http = (plain_http != PlainHttp::Off).then_some(port);
        let (metrics_port, usage) =
            raw.section("metrics", |s| (metrics_port(s, http, https_port), s.get("usage", false)));
        let page_port = raw.section("page", |s| page_port(s, http, https_port, metrics_port));
        Config {
            node,
            port,
            plain_http,
            https_port,
            metrics_port,
            page_port,
            usage,
            upstream: raw.section("upstream", |s| s.text("url", Upstream::default(), parse::upstream)),
            access: raw.section("access", |s| AccessConfig {
                mode: s.text("mode", AccessMode::Network, parse::access),
                capability: s.text("capability", CAPABILITY.to_owned(), parse::capability),
            }),
            limits: raw.section("limits", limits),
            pace: raw.section("timeouts", pace),
            endpoints: raw.section("endpoints", endpoints),
            models: raw.section("models", models),
            http: raw.section("http", |s| Http {
                hosts: s.list("hosts", parse::host),
                preflight: s.get("preflight", true),
            }),
            shutdown: raw.section("shutdown", shutdown),
            log: raw.section("log", |s| Log {
                level: s.text("level", "info".to_owned(), parse::log_level),
                format: s.text("format", LogFormat::Text, parse::log_format),
                file: s.text("file", None, |text| parse::path(text).map(Some)),
                rotation: Rotation {
                    max_size: s.parse("max_size", 10_000_000, |n| parse::count(n).map(|n| n as usize)),
                    max_age: s.text("max_age", 30 * parse::DAY, parse::age),
                },
            }),
        }
    }
}

/// As long as Tailscale's control server may take to choose another host. Source: `kube/services` in
/// Tailscale's source, which waits for the same.
const HANDOVER: Duration = Duration::from_secs(15);

/// macOS takes 103 bytes for the path of a socket, and `/admin.sock` is part of it.
const STATE_DIR_MAX: usize = 103 - "/admin.sock".len();

fn node(s: &mut Section<'_, '_>, state_dir: Option<PathBuf>, environment: &Environment) -> NodeConfig {
    let path = |text: &str| parse::path(text).map(Some);
    let hostname = s.text("hostname", "remote-ollama-proxy".to_owned(), parse::label);
    let state_dir = s.text("state_dir", None, path).or(state_dir).unwrap_or_else(|| {
        if !s.is_faulty("state_dir") {
            s.fault("state_dir", "this account has no home folder to put it in: set an absolute path");
        }
        PathBuf::new()
    });
    if state_dir.as_os_str().len() > STATE_DIR_MAX {
        let reason =
            format!("a Unix socket is made in it, so its path can have {STATE_DIR_MAX} bytes at most");
        s.fault("state_dir", &reason);
    }
    let auth_key_file = s.text("auth_key_file", None, path);
    let client_secret_file = s.text("client_secret_file", None, path);
    let keychain = s.get("keychain", false);
    let control_url = s.text("control_url", None, |url| parse::control_url(url).map(Some));
    let tags = s.list("tags", parse::tag);
    let service = s.text("service", None, |name| parse::service(name).map(Some));
    let ephemeral = s.get("ephemeral", false);

    let untagged = tags.is_empty() && !s.is_faulty("tags");
    let credential = credential(s, auth_key_file.clone(), client_secret_file.clone(), untagged, environment);
    let credential = match credential {
        Found::NoFile(_) | Found::Nothing if keychain => Found::Keychain(Keychain::of(&hostname)),
        found => found,
    };
    NodeConfig {
        hostname,
        state_dir,
        credential: credential.ephemeral(ephemeral),
        auth_key_file,
        client_secret_file,
        keychain,
        control_url,
        tags,
        service,
        ephemeral,
        port_mapping: s.get("port_mapping", false),
        start_offline: s.text("start_offline", StartOffline::Wait, parse::start_offline),
        up_timeout: s.text("up_timeout", Duration::from_secs(60), parse::patience),
    }
}

/// What the node joins with: from the environment, else from the file. A file that is named has to
/// be sound even where the environment goes before it.
fn credential(
    s: &mut Section<'_, '_>,
    auth_key_file: Option<PathBuf>,
    client_secret_file: Option<PathBuf>,
    untagged: bool,
    environment: &Environment,
) -> Found {
    const TAGS: &str =
        "a node that joins with an OAuth client secret needs node.tags, which that client may give";
    if auth_key_file.is_some() && client_secret_file.is_some() {
        s.fault("client_secret_file", "node.auth_key_file is set too: keep one of the two");
    }
    if client_secret_file.is_some() && untagged {
        s.fault("client_secret_file", TAGS);
    }
    let mut read = |key, file: Option<PathBuf>, kind| match auth::read(&file?, kind) {
        Ok(found) => Some(found),
        Err(faults) => {
            faults.iter().for_each(|fault| s.fault(key, &fault.to_string()));
            None
        }
    };
    let auth_key = read("auth_key_file", auth_key_file, Kind::AuthKey);
    let client_secret = read("client_secret_file", client_secret_file, Kind::ClientSecret);
    match environment.find() {
        Ok(Some(found)) => {
            if let Found::Environment(variable, credential) = &found
                && credential.kind() == Kind::ClientSecret
                && untagged
            {
                s.fault_elsewhere(variable, TAGS);
            }
            found
        }
        Ok(None) => auth_key.or(client_secret).unwrap_or(Found::Nothing),
        Err((variable, fault)) => {
            s.fault_elsewhere(variable, &fault.to_string());
            Found::Nothing
        }
    }
}

fn limits(s: &mut Section<'_, '_>) -> Limits {
    let running = s.parse("running", 4, parse::count);
    Limits {
        running,
        running_per_identity: s.parse("running_per_identity", (running - 1).max(1), parse::count),
        waiting: s.parse("waiting", 256, parse::count_or_none),
        wait: s.text("wait", Duration::from_secs(300), parse::patience),
        requests_per_minute: s.parse("requests_per_minute", None, |n| parse::count(n).map(Some)),
        max_body: s.parse("max_body", 100_000_000, |n| parse::count(n).map(u64::from)),
        connections: s.parse("connections", 1024, |n| parse::count(n).map(|n| n as usize)),
        connections_per_peer: s.parse("connections_per_peer", 256, |n| parse::count(n).map(|n| n as usize)),
    }
}

fn pace(s: &mut Section<'_, '_>) -> Pace {
    let Pace { head, body, answer, idle } = Pace::default();
    Pace {
        head: s.text("head", head, parse::patience),
        body: s.text("body_idle", body, parse::patience),
        answer: s.text("answer_idle", answer, parse::patience),
        idle: s.text("connection_idle", idle, parse::patience),
    }
}

fn https_port(s: &mut Section<'_, '_>) -> Option<u16> {
    let (enabled, port) = (s.get("enabled", false), s.parse("port", 443, parse::port));
    if s.is_written("port") && !enabled && !s.is_written("enabled") {
        s.fault("port", "nothing is there without HTTPS: set https.enabled = true too");
    }
    enabled.then_some(port)
}

/// `hosts` is whether the node hosts a Service.
fn listen(s: &mut Section<'_, '_>, https: Option<u16>, hosts: bool) -> (u16, PlainHttp) {
    let port = s.parse("port", 11434, parse::port);
    let plain = s.text("http", PlainHttp::Serve, parse::plain_http);
    if plain != PlainHttp::Serve && https.is_none() {
        s.fault("http", "nobody could ask anything without HTTPS: set https.enabled = true too");
    } else if plain != PlainHttp::Serve && hosts {
        s.fault("http", "a Service (node.service) is hosted at listen.port, by HTTP: keep \"serve\"");
    }
    if https == Some(port) && plain != PlainHttp::Off {
        s.fault("port", "HTTPS is there (https.port): HTTP needs a port of its own");
    }
    (port, plain)
}

/// The others are where Ollama is asked.
fn metrics_port(s: &mut Section<'_, '_>, http: Option<u16>, https: Option<u16>) -> Option<u16> {
    let port = s.parse("port", None, |n| parse::port(n).map(Some))?;
    let by = if https == Some(port) { "https.port" } else { "listen.port" };
    if [http, https].contains(&Some(port)) {
        s.fault("port", &format!("Ollama is asked there ({by}): the metrics need a port of their own"));
    }
    Some(port)
}

/// As [`metrics_port`]; `metrics` is that one.
fn page_port(
    s: &mut Section<'_, '_>,
    http: Option<u16>,
    https: Option<u16>,
    metrics: Option<u16>,
) -> Option<u16> {
    let port = s.parse("port", None, |n| parse::port(n).map(Some))?;
    let by = if https == Some(port) { "https.port" } else { "listen.port" };
    if [http, https].contains(&Some(port)) {
        s.fault("port", &format!("Ollama is asked there ({by}): the page needs a port of its own"));
    } else if Some(port) == metrics {
        s.fault("port", "the metrics are there (metrics.port): the page needs a port of its own");
    }
    Some(port)
}

fn shutdown(s: &mut Section<'_, '_>) -> Shutdown {
    let drain_timeout = s.text("drain_timeout", Duration::from_secs(30), parse::duration);
    let handover = s.text("handover", HANDOVER, parse::duration);
    let withdraw = s.text("withdraw", Withdraw::First(handover), |when| parse::withdraw(when, handover));
    Shutdown { drain_timeout, withdraw }
}

fn models(s: &mut Section<'_, '_>) -> ModelRules {
    let ModelRules { deny_cloud, within, .. } = ModelRules::default();
    let patterns = s.list("allow", Models::pattern);
    if s.is_written("allow") && patterns.is_empty() && !s.is_faulty("allow") {
        s.fault("allow", "an empty list lets no model through: leave it out, or switch the endpoints off");
    }
    ModelRules {
        allow: s.is_written("allow").then(|| Models::of(patterns)),
        deny_cloud: s.text("cloud", deny_cloud, parse::deny_cloud),
        within: s.parse("within", within, |n| parse::count(n).map(u64::from)),
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
