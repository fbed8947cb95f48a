//! Toxiproxy: makes TCP connections slow, sliced, truncated or reset when a test says so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::http::{Client, soon};
use crate::process::Process;

pub(crate) struct Toxiproxy {
    /// Ends when this value is dropped.
    _process: Process,
    api: SocketAddr,
}

/// Toxiproxy's names for the two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client.
    Upstream,
    /// To the client.
    Downstream,
}

/// A loopback address from which Toxiproxy forwards.
pub(crate) struct Way {
    api: SocketAddr,
    name: &'static str,
    pub(crate) at: SocketAddr,
}

impl Toxiproxy {
    pub(crate) async fn new() -> Toxiproxy {
        let mut process = Process::start("toxiproxy", &mut Command::new(program()));
        let line: Value = serde_json::from_str(&process.line(&["\"api\""]).await).unwrap();
        let api = line["api"].as_str().unwrap().parse().unwrap();
        Toxiproxy { _process: process, api }
    }

    /// A new address that forwards to `to`. Each has its own name.
    pub(crate) async fn way(&self, name: &'static str, to: SocketAddr) -> Way {
        let wanted = json!({"name": name, "listen": "127.0.0.1:0", "upstream": to.to_string()});
        let made = call(self.api, "POST", "/proxies", &wanted).await;
        Way { api: self.api, name, at: made["listen"].as_str().unwrap().parse().unwrap() }
    }
}

impl Way {
    /// Applies a toxic of this kind to all connections, open ones included.
    pub(crate) async fn poison(&self, kind: &str, direction: Direction, attributes: &Value) {
        let stream = match direction {
            Direction::Upstream => "upstream",
            Direction::Downstream => "downstream",
        };
        let toxic = json!({"name": kind, "type": kind, "stream": stream, "attributes": attributes});
        call(self.api, "POST", &format!("/proxies/{}/toxics", self.name), &toxic).await;
    }

    /// Removes the toxic. A connection that the toxic ends is closed by now.
    pub(crate) async fn heal(&self, kind: &str) {
        call(self.api, "DELETE", &format!("/proxies/{}/toxics/{kind}", self.name), &Value::Null).await;
    }
}

async fn call(api: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut client = Client::new(soon("Toxiproxy", TcpStream::connect(api)).await.unwrap());
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head + &body).await;
    let answer = client.answer().await;
    assert!(answer.status() < 300, "{method} {path} {body}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Toxiproxy with our listener, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("toxiproxy");
        let built = crate::go::go()
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/toxiproxy"))
            .status()
            .expect("go is needed to build Toxiproxy");
        assert!(built.success(), "Toxiproxy can't be built");
        program
    })
}
