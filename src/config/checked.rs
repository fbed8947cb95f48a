//! The config with every value parsed. What it cannot express cannot be wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::Fault;
use super::raw::{self, Field, Raw, Unknown};
use crate::policy::{Endpoint, EndpointSet, MANAGEMENT};
use crate::upstream::Upstream;

/// A valid config.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node in the tailnet.
    pub node: NodeConfig,
    /// The port in the tailnet, 1 to 65535.
    pub port: u16,
    /// Ollama.
    pub upstream: Upstream,
    /// The endpoints that are on.
    pub endpoints: EndpointSet,
    /// Hosts and preflight.
    pub http: Http,
    /// How long running requests may take to end once the process is told to stop.
    pub drain_timeout: Duration,
    /// The log.
    pub log: Log,
}

/// The node in the tailnet.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The name wanted: one DNS label.
    pub hostname: String,
    /// Where the node keeps its keys.
    pub state_dir: PathBuf,
    /// A file that holds the auth key.
    pub auth_key_file: Option<PathBuf>,
    /// The control server; `None` is Tailscale's.
    pub control_url: Option<String>,
    /// The tags to advertise, each `tag:name`.
    pub tags: Vec<String>,
    /// Whether the tailnet forgets the node when it goes offline.
    pub ephemeral: bool,
    /// Whether to ask the router for a port.
    pub port_mapping: bool,
    /// How long coming up may take.
    pub up_timeout: Duration,
}

/// What is particular to HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Names for this node beside its own in the tailnet.
    pub hosts: Vec<String>,
    /// Whether browsers' preflights go through.
    pub preflight: bool,
}

/// The log on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Directives as `tracing_subscriber::EnvFilter` reads them: `info`, `warn,access=info`.
    pub level: String,
    /// For people or for machines.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Collects faults while values are taken out.
struct Reader {
    section: &'static str,
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, key: &str, value: impl ToString, reason: impl ToString) {
        let key = if self.section.is_empty() { key.to_owned() } else { format!("{}.{key}", self.section) };
        self.faults.push(Fault { key, value: value.to_string(), reason: reason.to_string() });
    }

    fn take<T>(&mut self, key: &str, field: Field<T>) -> Option<T> {
        match field {
            Field::Absent => None,
            Field::Given(value) => Some(value),
            Field::Wrong { value, reason } => {
                self.fault(key, value, reason);
                None
            }
        }
    }

    /// A value that needs parsing; `default` stands in where it is absent or faulty.
    fn parse<R: ToString + std::fmt::Debug, T>(
        &mut self,
        key: &str,
        field: Field<R>,
        default: T,
        parse: impl FnOnce(&R) -> Result<T, String>,
    ) -> T {
        let Some(raw) = self.take(key, field) else { return default };
        parse(&raw).unwrap_or_else(|reason| {
            self.fault(key, format!("{raw:?}"), reason);
            default
        })
    }

    fn enter<T: Default>(&mut self, section: &'static str, field: Field<T>) -> T {
        self.section = "";
        let value = self.take(section, field).unwrap_or_default();
        self.section = section;
        value
    }

    fn unknown(&mut self, unknown: Unknown, known: &[&str]) {
        for key in unknown.into_keys() {
            self.fault(&key, "", format!("there is no such key; here go {}", known.join(", ")));
        }
    }
}

impl Config {
    /// Checks a config. `state_dir` is the default for the node's state folder, where there is one.
    pub(super) fn check(raw: Raw, state_dir: Option<PathBuf>) -> Result<Config, Vec<Fault>> {
        let mut r = Reader { section: "", faults: Vec::new() };
        r.unknown(raw.unknown, Raw::KEYS);

        let node = node(&mut r, raw.node, state_dir);

        let listen = r.enter("listen", raw.listen);
        r.unknown(listen.unknown, raw::Listen::KEYS);
        let port = r.parse("port", listen.port, 11434, |n| match u16::try_from(*n) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err("a port is 1 to 65535".to_owned()),
        });

        let upstream = r.enter("upstream", raw.upstream);
        r.unknown(upstream.unknown, raw::Upstream::KEYS);
        let upstream = r.parse("url", upstream.url, Upstream::default(), |url| {
            Upstream::parse(url).map_err(|e| e.to_string())
        });

        let endpoints = endpoints(&mut r, raw.endpoints);

        let http = r.enter("http", raw.http);
        r.unknown(http.unknown, raw::Http::KEYS);
        let http = Http {
            hosts: r
                .take("hosts", http.hosts)
                .unwrap_or_default()
                .into_iter()
                .filter(|host| match host_name(host) {
                    Ok(()) => true,
                    Err(reason) => {
                        r.fault("hosts", format!("{host:?}"), reason);
                        false
                    }
                })
                .collect(),
            preflight: r.take("preflight", http.preflight).unwrap_or(true),
        };

        let shutdown = r.enter("shutdown", raw.shutdown);
        r.unknown(shutdown.unknown, raw::Shutdown::KEYS);
        let drain_timeout =
            r.parse("drain_timeout", shutdown.drain_timeout, Duration::from_secs(30), duration);

        let log = log(&mut r, raw.log);

        if r.faults.is_empty() {
            Ok(Config { node, port, upstream, endpoints, http, drain_timeout, log })
        } else {
            Err(r.faults)
        }
    }
}

fn node(r: &mut Reader, field: Field<raw::Node>, state_dir: Option<PathBuf>) -> NodeConfig {
    let node = r.enter("node", field);
    r.unknown(node.unknown, raw::Node::KEYS);
    let hostname =
        r.parse("hostname", node.hostname, "remote-ollama-proxy".to_owned(), |name| dns_label(name));
    let given = r.parse("state_dir", node.state_dir, None, |path| absolute(path).map(Some));
    let state_dir = given.or(state_dir).unwrap_or_else(|| {
        r.fault("state_dir", "", "this account has no home folder to put it in: set an absolute path");
        PathBuf::new()
    });
    let tags: Vec<String> = r.take("tags", node.tags).unwrap_or_default();
    for tag in &tags {
        if !tag.strip_prefix("tag:").is_some_and(|name| dns_label(name).is_ok()) {
            r.fault(
                "tags",
                format!("{tag:?}"),
                "a tag is \"tag:\" and a name of letters, digits and -, such as \"tag:ai-server\"",
            );
        }
    }
    NodeConfig {
        hostname,
        state_dir,
        auth_key_file: r.parse("auth_key_file", node.auth_key_file, None, |path| absolute(path).map(Some)),
        control_url: r.parse("control_url", node.control_url, None, |url| control_url(url).map(Some)),
        tags,
        ephemeral: r.take("ephemeral", node.ephemeral).unwrap_or(false),
        port_mapping: r.take("port_mapping", node.port_mapping).unwrap_or(false),
        up_timeout: r.parse("up_timeout", node.up_timeout, Duration::from_secs(60), duration),
    }
}

fn endpoints(r: &mut Reader, field: Field<Unknown>) -> EndpointSet {
    let mut set = EndpointSet::default();
    for (name, value) in r.enter("endpoints", field) {
        let on = value.as_bool();
        if let Some(endpoint) = Endpoint::named(&name) {
            match on {
                Some(on) => set = set.with(endpoint, on),
                None => r.fault(&name, &value, "say true or false"),
            }
        } else if let Some(route) = MANAGEMENT.iter().find(|m| m.name == name) {
            // Saying that it is off changes nothing and may put a reader at ease.
            if on != Some(false) {
                r.fault(&name, &value, format!("{} can't be switched on: it {}", route.path, route.harm));
            }
        } else {
            let known: Vec<_> = Endpoint::all().map(Endpoint::name).collect();
            r.fault(&name, "", format!("there is no such endpoint; these can be set: {}", known.join(", ")));
        }
    }
    set
}

fn log(r: &mut Reader, field: Field<raw::Log>) -> Log {
    let log = r.enter("log", field);
    r.unknown(log.unknown, raw::Log::KEYS);
    Log {
        level: r.parse("level", log.level, "info".to_owned(), |level| {
            match level.parse::<tracing_subscriber::filter::Targets>() {
                Ok(_) => Ok(level.clone()),
                Err(_) => Err(
                    "say error, warn, info, debug or trace, or levels by module such as \"info,tsnet=debug\""
                        .to_owned(),
                ),
            }
        }),
        format: r.parse("format", log.format, LogFormat::Text, |format| match format.as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("say \"text\" or \"json\"".to_owned()),
        }),
    }
}

/// A label of a DNS name (RFC 1123, 2.1) in lower case.
fn dns_label(name: &str) -> Result<String, String> {
    let sound = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if sound {
        Ok(name.to_owned())
    } else {
        Err("a name here is 1 to 63 lower-case letters, digits and -, with no - at either end".to_owned())
    }
}

fn host_name(name: &str) -> Result<(), String> {
    let address = name.parse::<std::net::IpAddr>().is_ok();
    let labels = || name.split('.').all(|l| dns_label(&l.to_ascii_lowercase()).is_ok());
    if address || labels() {
        Ok(())
    } else {
        Err("want a host name or an address, without scheme, port or wildcard".to_owned())
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    let expanded = match path.strip_prefix("~/") {
        Some(rest) => dirs::home_dir().ok_or("~ has no meaning: this account has no home folder")?.join(rest),
        None => Path::new(path).to_owned(),
    };
    if expanded.is_absolute() {
        Ok(expanded)
    } else {
        Err("want an absolute path or one that starts with ~/".to_owned())
    }
}

fn control_url(url: &str) -> Result<String, String> {
    let uri: http::Uri = url.parse().map_err(|e| format!("not a URL: {e}"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("https" | "http"), Some(_)) => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err("want a URL such as \"https://headscale.example.com\"".to_owned()),
    }
}

#[allow(clippy::ptr_arg, reason = "Reader::parse passes what the field holds")]
fn duration(text: &String) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("want a duration such as \"30s\" or \"2m\": {e}"))
}
