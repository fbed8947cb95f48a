//! The machine is kept awake while a request runs. A script takes the place of the system's tool, which the proxy finds by its
//! PATH. macOS' tool has a fixed path, so these tests are for Linux.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Start, Tailnet, World};

/// Records its process and its arguments, then runs the command as systemd-inhibit does while it holds a lock.
const TOOL: &str = "#!/bin/sh\n\
    dir=$(dirname \"$0\")\n\
    echo \"$$ $*\" >>\"$dir/taken\"\n\
    for command; do :; done\n\
    \"$command\"\n";

/// A proxy whose `laptop` has access, with this config, and with the script first on its PATH.
async fn world(config: &str) -> World {
    let tailnet = Tailnet::new().await;
    let tool = tailnet.dir.path().join("systemd-inhibit");
    std::fs::write(&tool, TOOL).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("PATH={}:{}", tailnet.dir.path().display(), std::env::var("PATH").unwrap());
    let key = Some(tailnet.key(json!({})).await);
    let under = vec!["env".to_owned(), path];
    let proxy =
        Start { key, under, config: config.to_owned(), ..Start::new(&tailnet, ollama::url()) }.up().await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    World { proxy, tailnet, at }
}

/// A client that has received the first chunk of a slow answer.
async fn streaming(world: &World) -> Client<TcpStream> {
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    let mut client = world.connect().await;
    client.send(post("/v1/chat/completions", &body.to_string())).await;
    client.head().await.unwrap();
    client.chunk().await.unwrap();
    client
}

/// What the script recorded: a line for each time that it was run.
fn recorded(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("taken")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn awake(world: &World, wanted: &str) {
    world.until(wanted, "/status", |status| status["awake"]["state"] == wanted).await;
}

async fn gone(tool: Pid) {
    eventually("the tool to end", async || test_kill_process(tool).is_err()).await;
}

#[tokio::test]
async fn lock_is_held_while_a_request_runs_and_ends_with_a_killed_proxy() {
    let world = world("power.keep_awake = true").await;
    let dir = world.tailnet.dir.path().to_owned();
    awake(&world, "not-held").await;
    assert!(recorded(&dir).is_empty());

    let client = streaming(&world).await;
    awake(&world, "held").await;
    let [run] = &recorded(&dir)[..] else { panic!("{:?}", recorded(&dir)) };
    let (tool, arguments) = run.split_once(' ').unwrap();
    assert!(arguments.starts_with("--what=idle --mode=block --who=remote-ollama-proxy "), "{run}");
    let tool = Pid::from_raw(tool.parse().unwrap()).unwrap();
    assert!(test_kill_process(tool).is_ok());
    let out = world.run("status", &[]).await;
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("awake      held: the machine does not idle-sleep"), "{text}");

    drop(client);
    gone(tool).await;
    awake(&world, "not-held").await;

    let _client = streaming(&world).await;
    awake(&world, "held").await;
    let [_, run] = &recorded(&dir)[..] else { panic!("{:?}", recorded(&dir)) };
    let tool = Pid::from_raw(run.split_once(' ').unwrap().0.parse().unwrap()).unwrap();
    world.proxy.process.signal(Signal::KILL);
    gone(tool).await;
}

#[tokio::test]
async fn no_tool_is_run_while_keep_awake_is_off() {
    let world = world("power.keep_awake = false").await;
    let client = streaming(&world).await;
    let status = world.until("a running request", "/status", |status| status["running"] == 1).await;
    assert_eq!(status["awake"], json!({"state": "off"}));
    let out = world.run("status", &[]).await;
    assert!(!String::from_utf8(out.stdout).unwrap().contains("\nawake"));
    drop(client);
    world.until("no request", "/status", |status: &Value| status["running"] == 0).await;
    assert!(recorded(world.tailnet.dir.path()).is_empty());
}

#[tokio::test]
async fn refused_lock_is_a_warning_in_log_status_and_doctor() {
    let mut world = world("power.keep_awake = true").await;
    std::fs::write(
        world.tailnet.dir.path().join("systemd-inhibit"),
        "#!/bin/sh\necho 'Failed to inhibit: Access denied' >&2\nexit 1\n",
    )
    .unwrap();
    let _client = streaming(&world).await;
    let line = world.proxy.process.line(&["cannot keep the machine awake"]).await;
    assert!(line.contains("systemd-inhibit: Failed to inhibit: Access denied"), "{line}");
    awake(&world, "not-available").await;
    let out = world.run("doctor", &["--json"]).await;
    let findings: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap();
    let finding = findings.iter().find(|finding| finding["check"] == "awake").unwrap();
    assert_eq!(finding["outcome"], "warning", "{finding}");
    assert!(finding["reason"].as_str().unwrap().contains("Access denied"), "{finding}");
}
