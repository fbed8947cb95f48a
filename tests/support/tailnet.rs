//! A private tailnet, with clients and the proxy as nodes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::http::{Answer, Client, eventually, soon};
use crate::process::Process;

/// Only clients with tag:ai-client reach the proxy with tag:ai-server.
pub(crate) const POLICY: &str = r#"{
    "tagOwners": {"tag:ai-server": ["autogroup:admin"], "tag:ai-client": ["autogroup:admin"]},
    "grants": [{"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]}],
}"#;

pub(crate) struct Tailnet {
    pub(crate) process: Process,
    pub(crate) dir: TempDir,
    pub(crate) control: String,
    /// Every address of the control server, the relay and STUN, as the program printed them.
    pub(crate) ports: Value,
    api: SocketAddr,
}

impl Tailnet {
    pub(crate) async fn new() -> Tailnet {
        let dir = TempDir::new().unwrap();
        let policy = dir.path().join("policy.hujson");
        std::fs::write(&policy, POLICY).unwrap();
        let mut command = Command::new(program());
        command.arg("-until-stdin-closes").arg("-policy").arg(policy).arg("-dir").arg(dir.path());
        let mut process = Process::start("the test tailnet", &mut command);
        let line = process.line(&["\"control\":"]).await;
        let ports: Value = serde_json::from_str(&line).unwrap();
        let control = ports["control"].as_str().unwrap().to_owned();
        let api = ports["api"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        Tailnet { process, dir, control, ports, api }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Calls the tailnet's API; fails if it refuses.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let stream = TcpStream::connect(self.api).await.unwrap();
        let mut api = Client::new(stream);
        api.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let answer = api.answer().await;
        assert_eq!(answer.status(), 200, "{method} {path} {body}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { serde_json::from_slice(&answer.body).unwrap() }
    }

    pub(crate) async fn key(&self, more: Value) -> String {
        let mut request = json!({"tags": ["tag:ai-server"]});
        if let (Some(request), Some(more)) = (request.as_object_mut(), more.as_object()) {
            request.extend(more.clone());
        }
        self.api("POST", "/keys", request).await["key"].as_str().unwrap().to_owned()
    }

    /// Starts a client node.
    pub(crate) async fn client(&self, hostname: &str, tags: &[&str]) -> Value {
        let who = if tags.is_empty() { json!({"user": "eve@example.com"}) } else { json!({"tags": tags}) };
        let mut request = json!({"hostname": hostname});
        request.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        self.api("POST", "/clients", request).await
    }

    /// A loopback address from which a client forwards to `to` in the tailnet.
    pub(crate) async fn forward(&self, client: &str, to: &str) -> SocketAddr {
        let made = self.api("POST", &format!("/clients/{client}/forwards"), json!({"to": to})).await;
        made["listen"].as_str().unwrap().parse().unwrap()
    }

    /// Whether a client gets a connection to `to`.
    pub(crate) async fn dials(&self, client: &str, to: &str) -> Value {
        self.api("POST", &format!("/clients/{client}/dial"), json!({"to": to, "timeout": "3s"})).await
    }

    /// Waits until a client's connections to `to` succeed, or fail: nodes receive a change a moment later.
    #[allow(dead_code, reason = "not every test binary changes access")]
    pub(crate) async fn dials_until(&self, client: &str, to: &str, succeed: bool) {
        let what = format!("{client} to {to}: {succeed}");
        eventually(&what, async || self.dials(client, to).await["ok"] == succeed).await;
    }
}

/// The test tailnet's program, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("testtailnet");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tailnet");
        let built = crate::go::go()
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(source)
            .status()
            .expect("go is needed to build the test tailnet");
        assert!(built.success(), "the test tailnet can't be built");
        program
    })
}

/// The proxy as a process.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    /// The record that it logged when it began to listen.
    pub(crate) listening: Value,
}

/// How to start the proxy.
pub(crate) struct Start {
    pub(crate) state: PathBuf,
    pub(crate) control: String,
    /// The ACME server, and a file with the root that it is trusted by.
    pub(crate) acme: [String; 2],
    pub(crate) upstream: String,
    pub(crate) key: Option<String>,
    /// More lines of config.
    pub(crate) config: String,
    /// A program that runs the binary, such as a tracer, with its arguments.
    pub(crate) under: Vec<String>,
}

impl Start {
    pub(crate) fn new(tailnet: &Tailnet, upstream: &str) -> Start {
        Start {
            state: tailnet.dir.path().join("proxy-state"),
            control: tailnet.control.clone(),
            acme: ["acme", "acme_certificate"].map(|key| tailnet.ports[key].as_str().unwrap().to_owned()),
            upstream: upstream.to_owned(),
            key: None,
            config: String::new(),
            under: Vec::new(),
        }
    }

    /// Starts the binary without waiting for it.
    pub(crate) fn process(&self) -> Process {
        self.command(&["run"])
    }

    /// Starts another subcommand with the same config.
    pub(crate) fn command(&self, arguments: &[&str]) -> Process {
        Process::start("remote-ollama-proxy", &mut self.prepared(arguments))
    }

    /// A subcommand with that config.
    pub(crate) fn prepared(&self, arguments: &[&str]) -> Command {
        std::fs::create_dir_all(&self.state).unwrap();
        let config = self.state.with_extension("toml");
        let format = if self.config.contains("log.format") { "" } else { "log.format = \"json\"" };
        let text = format!(
            "node.state_dir = {:?}\nnode.control_url = {:?}\nupstream.url = {:?}\n{format}\n{}\n",
            self.state, self.control, self.upstream, self.config
        );
        std::fs::write(&config, text).unwrap();
        let mut words = self.under.clone();
        words.push(env!("CARGO_BIN_EXE_remote-ollama-proxy").to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).arg("--config").arg(&config).env_remove("TS_AUTHKEY");
        // One of tailscale's variables, without which it uses the public ACME server, and one of Go's.
        let [directory, trust] = &self.acme;
        command.env("TS_DEBUG_ACME_DIRECTORY_URL", directory).env("SSL_CERT_FILE", trust);
        // These tests may run as root.
        command.env("REMOTE_OLLAMA_PROXY_AS_ROOT", "1");
        if let Some(key) = &self.key {
            command.env("TS_AUTHKEY", key);
        }
        command
    }

    /// Starts the binary and waits until it listens.
    pub(crate) async fn up(&self) -> Proxy {
        let mut process = self.process();
        let line = process.line(&["listening in the tailnet"]).await;
        // No JSON if a test sets the log's format to text.
        Proxy { process, listening: serde_json::from_str(&line).unwrap_or_default() }
    }
}

/// A proxy with a key and a client called `laptop`, as most tests need.
pub(crate) struct World {
    pub(crate) proxy: Proxy,
    pub(crate) tailnet: Tailnet,
    /// Where `laptop` forwards to the proxy.
    pub(crate) at: SocketAddr,
}

impl World {
    pub(crate) async fn new(upstream: &str, config: &str) -> World {
        let tailnet = Tailnet::new().await;
        let key = Some(tailnet.key(json!({})).await);
        let start = Start { key, config: config.to_owned(), ..Start::new(&tailnet, upstream) };
        let proxy = start.up().await;
        tailnet.client("laptop", &["tag:ai-client"]).await;
        let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
        World { proxy, tailnet, at }
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::new(soon("a connection", TcpStream::connect(self.at)).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }
}

/// A client whose node runs in its own process.
#[allow(dead_code, reason = "not every test binary has one")]
pub(crate) struct Elsewhere {
    _process: Process,
    /// Where it forwards to the proxy.
    pub(crate) at: SocketAddr,
}

#[allow(dead_code, reason = "not every test binary has one")]
impl Elsewhere {
    /// Runs it `under` another program, with a small receive buffer.
    pub(crate) async fn new(world: &World, under: &[&str]) -> Elsewhere {
        let key = world.tailnet.key(json!({"tags": ["tag:ai-client"], "preapproved": true})).await;
        // The log has a list of addresses, IPv4 first.
        let addresses = world.proxy.listening["addresses"].as_str().unwrap();
        let to = format!("{}:11434", addresses[1..].split([',', ']']).next().unwrap());
        let mut command = Command::new(under[0]);
        command.args(&under[1..]).arg(program()).args(["-receive-buffer", "65536"]);
        Self::start(command, &world.tailnet.control, &key, &to).await
    }

    /// Joins the tailnet of this control server with a key, and forwards to an address.
    pub(crate) async fn join(control: &str, key: &str, to: &str) -> Elsewhere {
        Self::start(Command::new(program()), control, key, to).await
    }

    async fn start(mut command: Command, control: &str, key: &str, to: &str) -> Elsewhere {
        command.args(["-until-stdin-closes", "-join", control, "-to", to]).env("TS_AUTHKEY", key);
        let mut process = Process::start("a client elsewhere", &mut command);
        let line: Value = serde_json::from_str(&process.line(&["\"listen\":"]).await).unwrap();
        Elsewhere { _process: process, at: line["listen"].as_str().unwrap().parse().unwrap() }
    }
}
