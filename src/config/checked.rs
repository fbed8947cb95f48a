//! The config with every value parsed. The types can't hold an invalid value.

use std::path::PathBuf;
use std::time::Duration;

use crate::admission::{Limits, Timeouts};
use crate::auth::CredentialSource;
use crate::events::{EventCommand, EventKind};
use crate::ollama::Upstream;
use crate::policy::{AccessMode, EndpointSet, Model, ModelRules};
use crate::rotated::Rotation;

/// A valid config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[node]`: the node in the tailnet.
    pub node: NodeConfig,
    /// `listen.port`, 1 to 65535: the Ollama port for HTTP.
    pub port: u16,
    /// `listen.http`: what that port does.
    pub plain_http: PlainHttp,
    /// `https.port`: the Ollama port for HTTPS; `None` if HTTPS is off.
    pub https_port: Option<u16>,
    /// `metrics.port`; `None` if it is not set.
    pub metrics_port: Option<u16>,
    /// `page.port`; `None` if it is not set.
    pub page_port: Option<u16>,
    /// `page.setup`: whether the page port shows each peer how to set up a client.
    pub page_setup: bool,
    /// `metrics.usage`: whether tokens and usage by model are counted.
    pub usage: bool,
    /// `upstream.url`: Ollama.
    pub upstream: Upstream,
    /// `[access]`.
    pub access: AccessConfig,
    /// `[limits]`.
    pub limits: Limits,
    /// `[timeouts]`, each 1 s to 24 h.
    pub timeouts: Timeouts,
    /// `[endpoints]`: those that are on.
    pub endpoints: EndpointSet,
    /// `[models]`: the rules for requests.
    pub models: ModelRules,
    /// `models.preload`: the models that the proxy loads, none of them twice.
    pub preload: Vec<Model>,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[shutdown]`.
    pub shutdown: ShutdownConfig,
    /// `power.keep_awake`: whether the machine does not idle-sleep while a request runs or waits.
    pub keep_awake: bool,
    /// `[log]`.
    pub log: LogConfig,
    /// `[access_log]`; `None` if it is off.
    pub access_log: Option<AccessLogConfig>,
    /// `[events]`.
    pub events: EventsConfig,
}

/// `[events]`: a command that is run on events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsConfig {
    /// The command; `None`: nothing is run.
    pub command: Option<EventCommand>,
    /// The events that it is run for; at least one.
    pub on: Vec<EventKind>,
    /// How long a run may take, 1 s to 24 h.
    pub timeout: Duration,
}

impl EventsConfig {
    /// Whether a command is run for events of this kind.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.command.is_some() && self.on.contains(&kind)
    }
}

/// `[access_log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// The file.
    pub file: PathBuf,
    /// When the file is set aside, and how long it is kept.
    pub rotation: Rotation,
}

impl AccessLogConfig {
    /// The name of the file in the state folder, unless the config names another file.
    pub const FILE: &str = "access.jsonl";
}

/// What the Ollama port for HTTP does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// It forwards requests to Ollama.
    Serve,
    /// It redirects requests to the HTTPS port.
    Redirect,
    /// It is closed.
    Off,
}

/// How the process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long running requests may take to end: 0 to 24 h.
    pub drain_timeout: Duration,
    /// When a hosted Tailscale Service is withdrawn.
    pub withdraw: Withdraw,
}

/// When a stopping host withdraws its Tailscale Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdraw {
    /// Before the drain. The host keeps serving for this time, 0 to 24 h, while clients move to other hosts.
    First(Duration),
    /// After the drain.
    Last,
}

/// The node in the tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The requested name: one DNS label.
    pub hostname: String,
    /// The folder for the node's keys.
    pub state_dir: PathBuf,
    /// What the node joins with.
    pub credential: CredentialSource,
    /// A file with an auth key.
    pub auth_key_file: Option<PathBuf>,
    /// A file with an OAuth client secret.
    pub client_secret_file: Option<PathBuf>,
    /// Whether to look for a credential in the keychain.
    pub keychain: bool,
    /// The control server; `None` is Tailscale's.
    pub control_url: Option<String>,
    /// The tags to request, each `tag:name`.
    pub tags: Vec<String>,
    /// The Tailscale Service to host, with its prefix `svc:`.
    pub service: Option<String>,
    /// Whether the tailnet removes the node when it goes offline.
    pub ephemeral: bool,
    /// Whether to ask the router for a port.
    pub port_mapping: bool,
    /// What a stored node does if the control server is unreachable at the start.
    pub start_offline: StartOffline,
    /// How long joining may take: 1 s to 24 h.
    pub up_timeout: Duration,
}

/// What a stored node does if the control server is unreachable at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffline {
    /// It waits for the control server, which alone knows the current policy.
    Wait,
    /// It admits peers by the cached netmap.
    Cached,
}

/// What an admitted peer may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessConfig {
    /// Whether a peer without a grant may use the whole allowlist or nothing.
    pub mode: AccessMode,
    /// The name of the app capability that holds the grants.
    pub capability: String,
}

/// The default of `access.capability`. ICANN reserved `.internal` for private use (resolution of 2024-07-29), so
/// no other software grants this capability.
pub const CAPABILITY: &str = "remote-ollama-proxy.internal/cap/ollama";

/// Settings of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Names for this node in addition to those in the tailnet.
    pub hosts: Vec<String>,
    /// Whether CORS preflights are forwarded.
    pub preflight: bool,
}

/// The diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Directives for `tracing_subscriber::filter::Targets`: `info`, `warn,access=info`.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
    /// The file to append to; `None` is standard error.
    pub file: Option<PathBuf>,
    /// When that file is rotated.
    pub rotation: Rotation,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The Ollama ports, HTTP first; at least one.
    pub fn ports(&self) -> impl Iterator<Item = u16> + Clone {
        let plain = (self.plain_http == PlainHttp::Serve).then_some(self.port);
        plain.into_iter().chain(self.https_port)
    }

    /// The URL for clients, if the node is called `name`.
    pub fn url(&self, name: &str) -> String {
        match (self.plain_http, self.https_url(name)) {
            (PlainHttp::Redirect | PlainHttp::Off, Some(url)) => url,
            _ => format!("http://{name}:{}", self.port),
        }
    }

    /// The URL for clients over HTTPS, if the node is called `name`; `None`: HTTPS is off.
    pub fn https_url(&self, name: &str) -> Option<String> {
        self.https_port.map(|port| match port {
            443 => format!("https://{name}"),
            _ => format!("https://{name}:{port}"),
        })
    }
}
