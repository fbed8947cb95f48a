//! A log that can't be written: the proxy serves requests, and accounts for each lost line.

use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::http::*;
use crate::ollama;
use crate::process::Process;
use crate::tailnet::{Proxy, Start, Tailnet, World};

/// Sends this many requests, which are all answered.
async fn ask(world: &World, requests: u32) {
    for _ in 0..requests {
        assert_eq!(world.ask(&get("/api/version")).await.status(), 200);
    }
}

fn of<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["logs"].as_array().unwrap().iter().find(|log| log["name"] == name).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn full_disk_stops_no_request_and_is_reported() {
    let tailnet = Tailnet::new().await;
    let (log, state) = (tailnet.dir.path().join("proxy.log"), tailnet.dir.path().join("proxy-state"));
    let [access, journal] = ["access.jsonl", "journal.jsonl"].map(|name| state.join(name));
    std::fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
    for path in [&log, &access, &journal] {
        symlink("/dev/full", path).unwrap();
    }
    let config = format!("log.file = {log:?}\n");
    let start =
        Start { key: Some(tailnet.key(json!({})).await), config, ..Start::new(&tailnet, ollama::url()) };
    let mut process = start.process();
    let full = "can't be written: No space left on device (os error 28)";
    let said = process.line(&["remote-ollama-proxy: the log ", "proxy.log: ", full]).await;
    assert!(said.contains("1 line lost"), "{said}");
    tailnet.client("laptop", &["tag:ai-client"]).await;
    process.line(&["remote-ollama-proxy: ", "journal.jsonl: ", full]).await;
    let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
    let world = World { proxy: Proxy { process, listening: Value::Null }, tailnet, at };
    ask(&world, 20).await;

    let lost = |status: &Value, name| of(status, name)["lost"].as_u64().unwrap();
    let all = |status: &Value| {
        lost(status, "log") > 20 && lost(status, "access") == 20 && lost(status, "journal") == 1
    };
    let status = world.until("the lost lines", "/status", all).await;
    assert!(of(&status, "log")["fault"].as_str().unwrap().contains("No space left"), "{status}");
    assert!(status["not_ready"].is_null(), "{status}");
    let text = String::from_utf8(world.run("status", &[]).await.stdout).unwrap();
    assert!(
        ["log", "access", "journal"].iter().all(|name| text.contains(&format!("\n{name:<10} ")))
            && text.contains(full),
        "{text}"
    );
    let metrics = world.admin("GET", "/metrics").await.text().to_owned();
    let count =
        |log| format!("remote_ollama_proxy_log_lines_lost_total{{log=\"{log}\"}} {}\n", lost(&status, log));
    assert!(["log", "access", "journal"].iter().all(|log| metrics.contains(&count(log))), "{metrics}");

    for path in [&log, &access, &journal] {
        std::fs::remove_file(path).unwrap();
    }
    ask(&world, 3).await;
    let sound =
        |status: &Value| ["log", "access", "journal"].iter().all(|log| of(status, log)["fault"].is_null());
    let status = world.until("the end of it", "/status", sound).await;
    let mut world = world;
    world.proxy.process.signal(rustix::process::Signal::TERM);
    world.proxy.process.ended_with(0).await;

    let shown = report(world.tailnet.dir.path()).await;
    assert_eq!(
        (&shown["lines"]["unreadable"], &shown["total"]["requests"]),
        (&json!(0), &json!(3)),
        "{shown}"
    );
    assert_eq!(shown["lines"]["lost"], lost(&status, "access") + lost(&status, "journal"), "{shown}");
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.lines().next().unwrap().contains("lines were lost here"), "{lines}");
    assert!(lines.lines().last().unwrap().contains("\"stopped\""), "{lines}");
    // Each is reported once, for any number of lost lines.
    let output = world.proxy.process.output();
    assert_eq!(output.matches(full).count(), 3, "{output}");
}

async fn report(dir: &Path) -> Value {
    let mut report = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    report.args(["report", "--format", "json", "--config"]).arg(dir.join("proxy-state.toml"));
    serde_json::from_slice(&report.output().await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn closed_or_unread_standard_error_stops_no_request() {
    for is_read_later in [false, true] {
        let tailnet = Tailnet::new().await;
        // Enough lines to fill a pipe before the node has joined.
        let config = "log.level = \"trace\"".to_owned();
        let key = Some(tailnet.key(json!({})).await);
        let start = Start { key, config, ..Start::new(&tailnet, ollama::url()) };
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = start.prepared(&["run"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).kill_on_drop(true);
        let process = Process::of("remote-ollama-proxy", command.spawn().unwrap());
        drop(command); // also closes the test's own end of the pipe
        let reader = Some(reader).filter(|_| is_read_later);
        tailnet.client("laptop", &["tag:ai-client"]).await;
        let at = tailnet.forward("laptop", "remote-ollama-proxy:11434").await;
        let mut world = World { proxy: Proxy { process, listening: Value::Null }, tailnet, at };
        // The socket's file exists before the process listens on it.
        let admin = world.tailnet.dir.path().join("proxy-state/admin.sock");
        eventually("the admin socket", async || tokio::net::UnixStream::connect(&admin).await.is_ok()).await;
        world.until("the node", "/status", |status| status["not_ready"].is_null()).await;
        ask(&world, 20).await;
        let status = world.until("the log", "/status", |status| status["logs"].is_array()).await;
        let log = of(&status, "log");
        assert_eq!((&log["to"], &of(&status, "journal")["lost"]), (&json!("standard error"), &json!(0)));
        if !is_read_later {
            assert!(log["lost"].as_u64().unwrap() > 20, "{log}");
            assert!(log["fault"].as_str().unwrap().contains("Broken pipe"), "{log}");
        }
        world.proxy.process.signal(rustix::process::Signal::TERM);
        world.proxy.process.ended_with(0).await;
        if let Some(mut reader) = reader {
            let mut said = Vec::new();
            reader.read_to_end(&mut said).unwrap();
            assert!(said.len() > 4096, "the pipe was not full");
        }
    }
}
