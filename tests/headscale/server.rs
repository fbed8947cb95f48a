//! A Headscale on loopback.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::tailnet::Tailnet;

pub(crate) struct Headscale {
    /// Has the relay that its nodes use.
    pub(crate) tailnet: Tailnet,
    pub(crate) url: String,
    dir: TempDir,
    _server: Process,
}

impl Headscale {
    pub(crate) async fn new() -> Headscale {
        let (tailnet, dir) = (Tailnet::new().await, TempDir::new().unwrap());
        // Headscale has to know its port beforehand.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::fs::write(dir.path().join("derp.yaml"), relay(&tailnet.ports)).unwrap();
        std::fs::write(dir.path().join("config.yaml"), config(&dir, free)).unwrap();
        let mut server = Process::start("headscale", command(&dir).arg("serve"));
        server.line(&["listening and serving HTTP"]).await;
        let headscale = Headscale { tailnet, url: format!("http://{free}"), dir, _server: server };
        for user in ["alice", "guest", "bob"] {
            headscale.does(&["users", "create", user]).await;
        }
        headscale
    }

    /// What a command prints, or its error.
    pub(crate) async fn asks(&self, words: &[&str]) -> Result<String, String> {
        let output = command(&self.dir).args(words).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// The same for a command that has to succeed.
    pub(crate) async fn does(&self, words: &[&str]) -> String {
        self.asks(words).await.unwrap_or_else(|error| panic!("headscale {words:?}: {error}"))
    }

    /// A key of a user, by its number, or with a tag.
    pub(crate) async fn key(&self, owner: &str) -> String {
        let option = if owner.starts_with("tag:") { "--tags" } else { "--user" };
        self.does(&["preauthkeys", "create", option, owner]).await.trim().to_owned()
    }

    /// `policy check` or `policy set`.
    pub(crate) async fn policy(&self, verb: &str, text: &str) -> Result<String, String> {
        let file = self.dir.path().join("policy.hujson");
        std::fs::write(&file, text).unwrap();
        self.asks(&["policy", verb, "--file", file.to_str().unwrap()]).await
    }

    /// The number of the first node with this name.
    pub(crate) async fn node(&self, name: &str) -> String {
        let nodes: Value = serde_json::from_str(&self.does(&["nodes", "list", "-o", "json"]).await).unwrap();
        let node = nodes.as_array().unwrap().iter().find(|node| node["given_name"] == name);
        node.unwrap_or_else(|| panic!("no {name}: {nodes}"))["id"].to_string()
    }
}

fn command(dir: &TempDir) -> Command {
    let mut command = Command::new(program());
    command.arg("--config").arg(dir.path().join("config.yaml"));
    command
}

/// Headscale's program: the one that `HEADSCALE_BIN` names, or that of the version in go.mod, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(named) = std::env::var_os("HEADSCALE_BIN") {
            return named.into();
        }
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("headscale");
        let built = crate::go::go()
            .args(["build", "-o"])
            .arg(&program)
            .arg("github.com/juanfont/headscale/cmd/headscale")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/headscale"))
            .status()
            .expect("go is needed to build Headscale");
        assert!(built.success(), "Headscale can't be built");
        program
    })
}

fn config(dir: &TempDir, listen: SocketAddr) -> String {
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    format!(
        "server_url: http://{listen}
listen_addr: {listen}
metrics_listen_addr: \"\"
grpc_listen_addr: 127.0.0.1:0
noise: {{private_key_path: {noise:?}}}
prefixes: {{v4: 100.64.0.0/10, v6: \"fd7a:115c:a1e0::/48\", allocation: sequential}}
derp: {{server: {{enabled: false}}, urls: [], paths: [{derp:?}], auto_update_enabled: false}}
disable_check_updates: true
database: {{type: sqlite, sqlite: {{path: {database:?}}}}}
policy: {{mode: database}}
dns: {{magic_dns: true, base_domain: tail.example, override_local_dns: false}}
unix_socket: {socket:?}
log: {{level: info, format: text}}
",
        noise = path("noise.key"),
        derp = path("derp.yaml"),
        database = path("db.sqlite"),
        socket = path("headscale.sock"),
    )
}

/// The relay and the STUN server of the test tailnet, as Headscale's list of relays.
fn relay(ports: &Value) -> String {
    let port = |key: &str| ports[key].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    format!(
        "regions:
  1:
    regionid: 1
    regioncode: loopback
    regionname: loopback
    nodes:
      - {{name: loopback, regionid: 1, hostname: 127.0.0.1, ipv4: 127.0.0.1, ipv6: none, derpport: {}, stunport: {},
         stuntestip: 127.0.0.1, insecurefortests: true}}
",
        port("derp"),
        port("stun")
    )
}
