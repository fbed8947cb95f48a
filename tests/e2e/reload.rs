//! Reload: a new config applies as a whole or not at all, and affects only the requests that it changes.

use std::path::PathBuf;
use std::process::Output;

use rustix::process::Signal;
use serde_json::json;
use tokio::process::Command;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

fn config(world: &World) -> PathBuf {
    world.tailnet.dir.path().join("proxy-state.toml")
}

/// Adds lines to the config.
fn add(world: &World, lines: &str) {
    let text = std::fs::read_to_string(config(world)).unwrap();
    std::fs::write(config(world), format!("{text}\n{lines}\n")).unwrap();
}

async fn reload(world: &World) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    command.arg("reload").arg("--config").arg(config(world)).output().await.unwrap()
}

#[tokio::test]
async fn reload_applies_while_requests_run() {
    let world = World::new(ollama::url(), "").await;
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    let mut running = world.connect().await;
    running.send(post("/v1/chat/completions", &body.to_string())).await;
    running.head().await.unwrap();
    running.chunk().await.unwrap();

    add(&world, "[endpoints]\napi_tags = false\nv1_chat_completions = false\n[timeouts]\nhead = \"5s\"");
    let out = reload(&world).await;
    assert_eq!(String::from_utf8_lossy(&out.stdout), "the new config is in force\n");
    assert!(out.status.success());
    assert_eq!(world.ask(&get("/api/tags")).await.status(), 403);
    assert_eq!(world.ask(&get("/api/version")).await.status(), 200);
    // A running request goes on, although a new one like it would be refused.
    while !running.chunk().await.expect("the stream was cut").is_empty() {}

    let text = std::fs::read_to_string(config(&world)).unwrap();
    std::fs::write(config(&world), text.replace("api_tags = false", "api_tags = true")).unwrap();
    world.proxy.process.signal(Signal::HUP);
    eventually("the new config", async || world.ask(&get("/api/tags")).await.status() == 200).await;
}

#[tokio::test]
async fn reload_refuses_a_faulty_config_and_lists_its_faults() {
    let mut world = World::new(ollama::url(), "").await;
    add(&world, "[endpoints]\napi_tags = false\napi_pull = true\n[limits]\nrunning = 0");
    let out = reload(&world).await;
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(78), "{said}");
    assert!(said.contains("endpoints.api_pull") && said.contains("limits.running"), "{said}");
    world.proxy.process.signal(Signal::HUP);
    world.proxy.process.line(&["ERROR", "the old one stays in force", "api_pull", "limits.running"]).await;
    assert_eq!(world.ask(&get("/api/tags")).await.status(), 200);
}

#[tokio::test]
async fn reload_names_what_needs_a_restart() {
    let world = World::new(ollama::url(), "").await;
    add(&world, "[listen]\nport = 8080\n[endpoints]\napi_tags = false");
    let out = reload(&world).await;
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("take effect at the next start: listen.port"), "{said}");
    assert_eq!(world.ask(&get("/api/tags")).await.status(), 403);
}
