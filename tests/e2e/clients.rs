//! Real clients: the official Python packages, with only the base URL changed.

use std::path::Path;

use tokio::process::Command;

use crate::ollama;
use crate::process::Process;
use crate::tailnet::World;

/// The number of pairs (see tests/clients/pairs.sh) for each client. PAIRS=1000 measures more.
fn pairs() -> String {
    std::env::var("PAIRS").unwrap_or_else(|_| "40".to_owned())
}

#[tokio::test]
async fn clients_reuse_a_connection_after_an_early_answer() {
    let world = World::new(ollama::url(), "http.hosts = [\"127.0.0.1\"]").await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pairs.sh");
    let url = format!("http://{}", world.at);
    let mut run = Process::start("tests/clients/pairs.sh", Command::new(script).args([url, pairs()]));
    for client in ["requests", "httpx", "aiohttp", "node:http", "undici", "net/http"] {
        println!("{}", run.line(&[client, " pairs, "]).await);
    }
    run.ended_with(0).await;
}

#[tokio::test]
async fn official_python_packages_work() {
    let world = World::new(ollama::url(), "").await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/run.sh");
    // As in the tailnet, where MagicDNS resolves the name.
    let url = format!("http://remote-ollama-proxy:{}", world.at.port());
    let mut run = Process::start("tests/clients/run.sh", Command::new(script).arg(url));
    run.ended_with(0).await;
    println!("{}", run.line(&[" passed in "]).await);
}
