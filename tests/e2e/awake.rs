//! The machine is kept awake while a request runs. A script takes the place of the system's tool, which the proxy finds by its
//! PATH. On macOS the tool has a fixed path.
#![cfg(not(target_os = "macos"))]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::{Value, json};

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Proxy, Start, Tailnet, World};

/// Records its process and arguments, then runs the command, as systemd-inhibit does while it holds a lock.
const TOOL: &str = "#!/bin/sh\n\
    dir=$(dirname \"$0\")\n\
    echo \"$$ $*\" >>\"$dir/taken\"\n\
    for command; do :; done\n\
    \"$command\"\n";

/// A proxy whose `laptop` has access, with this config and the script on its PATH.
async fn world(config: &str) -> World {
    let tailnet = Tailnet::new().await;
    let tool = tailnet.dir.path().join("systemd-inhibit");
    std::fs::write(&tool, TOOL).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", tailnet.dir.path().display(), std::env::var("PATH").unwrap());
    let start = Start {
        key: Some(tailnet.key(json!({})).await),
        config: config.to_owned(),
        under: vec!["env".to_owned(), format!("PATH={path}")],
        ..Start::new(&tailnet, ollama::url())
    };
    let proxy: Proxy = start.up().await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    World { proxy, tailnet, at }
}

/// Starts an answer that streams until its client disconnects.
async fn streaming(world: &World) -> Client<tokio::net::TcpStream> {
    let mut client = world.connect().await;
    let body = json!({"model": "tiny", "stream": true, "max_tokens": 1_000_000, "messages": [{"role": "user", "content": "hi"}]});
    client.send(post("/v1/chat/completions", &body.to_string())).await;
    client.until("data: ").await;
    client
}

/// The lines that the script wrote, one for each lock.
fn taken(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("taken")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn state(world: &World) -> Value {
    let socket = world.tailnet.dir.path().join("proxy-state/admin.sock");
    crate::admin::get(&socket, "/status").await["awake"]["state"].clone()
}
