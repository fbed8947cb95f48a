//! The command of the operator's is run on events.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::http::*;
use crate::ollama;
use crate::tailnet::{Start, Tailnet, World};

/// A script in the folder, and the config that runs it with the folder as its argument.
fn command(dir: &Path, script: &str) -> (PathBuf, String) {
    let notify = dir.join("notify");
    std::fs::write(&notify, format!("#!/bin/sh\ncd \"$1\" || exit\n{script}\n")).unwrap();
    std::fs::set_permissions(&notify, std::fs::Permissions::from_mode(0o700)).unwrap();
    (notify.clone(), format!("events.command = [{notify:?}, {dir:?}]\n"))
}

/// The events that the script has appended to `told` so far.
fn told(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("told")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn event(dir: &Path, name: &str) -> Value {
    let find = || told(dir).into_iter().find(|event| event["event"] == name);
    found(name, async || find()).await
}

/// A proxy whose `laptop` has access, with this script and this config.
async fn world(upstream: &str, script: &str, config: &str) -> World {
    let tailnet = Tailnet::new().await;
    let (_, command) = command(tailnet.dir.path(), script);
    let key = Some(tailnet.key(json!({})).await);
    let config = format!("{command}{config}");
    let proxy = Start { key, config, ..Start::new(&tailnet, upstream) }.up().await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    World { proxy, tailnet, at }
}

const APPEND: &str = "line=$(cat); printf '%s\\n' \"$line\" >>told";

#[tokio::test]
async fn edit_of_the_policy_runs_the_command_for_lost_and_gained_access() {
    let script = format!("{APPEND}\nenv >env\nls -l /proc/self/fd >descriptors 2>&1");
    let mut world = world(ollama::url(), &script, "").await;
    let dir = world.tailnet.dir.path().to_owned();
    world.proxy.process.line(&["\"journal\"", "laptop.tailnet.test"]).await;
    let nobody = json!({"tagOwners": {"tag:ai-server": [], "tag:ai-client": []}, "grants": []});
    world.tailnet.api("PUT", "/policy", nobody).await;
    let lost = event(&dir, "access-lost").await;
    assert_eq!(
        (&lost["node"], &lost["principal"], &lost["port"]),
        (&json!("laptop.tailnet.test"), &json!("tag:ai-client"), &json!(11434)),
        "{lost}"
    );
    assert_eq!(lost["proxy"], "remote-ollama-proxy.tailnet.test");
    assert_eq!(lost["message"], "laptop.tailnet.test (tag:ai-client) lost access to port 11434");
    world.proxy.process.line(&["the command of [events] was run", "access-lost"]).await;
    let policy = json!({
        "tagOwners": {"tag:ai-server": [], "tag:ai-client": []},
        "grants": [{"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:11434"]}],
    });
    world.tailnet.api("PUT", "/policy", policy).await;
    // Told now, or when it joined, if the proxy was first.
    assert_eq!(event(&dir, "access-gained").await["node"], "laptop.tailnet.test");
    let environment = std::fs::read_to_string(dir.join("env")).unwrap();
    for secret in ["TS_AUTHKEY", "tskey", "TS_DEBUG", "REMOTE_OLLAMA_PROXY"] {
        assert!(!environment.contains(secret), "{environment}");
    }
    if cfg!(target_os = "linux") {
        let descriptors = std::fs::read_to_string(dir.join("descriptors")).unwrap();
        assert!(descriptors.contains(" 0 -> "), "{descriptors}");
        for own in ["proxy-state", "socket:", "anon_inode", "/dev/net"] {
            assert!(!descriptors.contains(own), "{own}: {descriptors}");
        }
    }
}

#[tokio::test]
async fn first_refusal_of_a_device_runs_the_command_once_even_after_a_restart() {
    let tailnet = Tailnet::new().await;
    let dir = tailnet.dir.path().to_owned();
    let (_, config) = command(&dir, APPEND);
    let config = format!("{config}events.on = [\"peer-refused\"]\n");
    let key = Some(tailnet.key(json!({})).await);
    let start = Start { key, config, ..Start::new(&tailnet, ollama::url()) };
    let proxy = start.up().await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    tailnet.client("phone", &["tag:ai-client"]).await;
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    let phone = tailnet.forward("phone", "remote-ollama-proxy:11434").await;
    let mut world = World { proxy, tailnet, at };
    for _ in 0..2 {
        assert_eq!(world.ask(&post("/api/pull", "{}")).await.status(), 403);
    }
    let refused = event(&dir, "peer-refused").await;
    assert_eq!(
        (&refused["node"], &refused["rule"], &refused["path"], &refused["method"]),
        (&json!("laptop.tailnet.test"), &json!("management"), &json!("/api/pull"), &json!("POST")),
        "{refused}"
    );
    world.proxy.process.signal(rustix::process::Signal::TERM);
    world.proxy.process.ended_with(0).await;
    world.proxy = Start { key: None, ..start }.up().await;
    world.tailnet.dials_until("laptop", "remote-ollama-proxy:11434", true).await;
    assert_eq!(world.ask(&post("/api/pull", "{}")).await.status(), 403);
    // The other device comes after it, so its event shows that there was none for the first.
    world.at = phone;
    assert_eq!(world.ask(&post("/api/pull", "{}")).await.status(), 403);
    found("the phone's", async || (told(&dir).len() > 1).then_some(())).await;
    let nodes: Vec<_> = told(&dir).into_iter().map(|event| event["node"].clone()).collect();
    assert_eq!(nodes, ["laptop.tailnet.test", "phone.tailnet.test"]);
}

#[tokio::test]
async fn absent_ollama_and_its_return_run_the_command_and_a_failure_is_logged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let script = format!("{APPEND}\necho no mailer >&2\nexit 3");
    let on = "events.on = [\"ollama-down\", \"ollama-back\"]\n";
    let mut world = world(&format!("http://{at}"), &script, on).await;
    let dir = world.tailnet.dir.path().to_owned();
    let down = event(&dir, "ollama-down").await;
    assert_eq!(down["upstream"], format!("http://{at}"));
    let logged = world.proxy.process.line(&["the command of [events] failed", "ollama-down"]).await;
    assert!(logged.contains("exit status: 3") && logged.contains("no mailer"), "{logged}");
    let listener = TcpListener::bind(at).await.unwrap();
    let answers = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\nConnection: close\r\n\r\n{\"version\":\"0.0.1\"}";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    event(&dir, "ollama-back").await;
    answers.abort();
}

/// macOS has no /dev/full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn log_that_loses_lines_runs_the_command() {
    let config = "access_log.file = \"/dev/full\"\nevents.on = [\"log-lost\"]\n";
    let world = world(ollama::url(), APPEND, config).await;
    assert_eq!(world.ask(&get("/api/version")).await.status(), 200);
    let lost = event(world.tailnet.dir.path(), "log-lost").await;
    assert_eq!((&lost["log"], &lost["to"]), (&json!("access"), &json!("/dev/full")), "{lost}");
    assert!(lost["error"].as_str().unwrap().contains("No space left"), "{lost}");
}

#[tokio::test]
async fn reload_refuses_a_program_that_others_can_change() {
    let world = world(ollama::url(), APPEND, "").await;
    let notify = world.tailnet.dir.path().join("notify");
    std::fs::set_permissions(&notify, std::fs::Permissions::from_mode(0o722)).unwrap();
    let out = world.run("reload", &[]).await;
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains("other accounts can change"), "{said}");
}

#[tokio::test]
async fn stopping_proxy_kills_a_command_that_does_not_end() {
    let script = "mkfifo fifo; exec 9>fifo; sleep 100000 & sleep 100000";
    let mut world = world("http://127.0.0.1:1", script, "events.timeout = \"24h\"\n").await;
    let fifo = world.tailnet.dir.path().join("fifo");
    found("the command", async || fifo.exists().then_some(())).await;
    let mut reader = tokio::fs::File::open(fifo).await.unwrap();
    world.proxy.process.signal(rustix::process::Signal::TERM);
    world.proxy.process.line(&["the command of [events] did not end in time, so it was killed"]).await;
    world.proxy.process.ended_with(0).await;
    // Ends only once no process holds the pipe.
    soon("the end of the command", reader.read_to_end(&mut Vec::new())).await.unwrap();
}
