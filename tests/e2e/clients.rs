//! Real clients, with only the base URL changed: the official Python packages, and the programs and libraries of tests/clients/agents.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use crate::ollama;
use crate::process::Process;
use crate::tailnet::{Start, Tailnet, World};

/// The number of pairs (see tests/clients/pairs.sh) for each client. PAIRS=1000 measures more.
fn pairs() -> String {
    std::env::var("PAIRS").unwrap_or_else(|_| "40".to_owned())
}

/// A program of tests/clients.
fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name))
}

#[tokio::test]
async fn clients_reuse_a_connection_after_an_early_answer() {
    let world = World::new(ollama::url(), "http.hosts = [\"127.0.0.1\"]").await;
    let url = format!("http://{}", world.at);
    let mut run = Process::start("tests/clients/pairs.sh", script("pairs.sh").args([url, pairs()]));
    for client in ["requests", "httpx", "aiohttp", "node:http", "undici", "net/http"] {
        println!("{}", run.line(&[client, " pairs, "]).await);
    }
    run.ended_with(0).await;
}

#[tokio::test]
async fn official_python_packages_work() {
    let world = World::new(ollama::url(), "").await;
    // As in the tailnet, where MagicDNS resolves the name.
    let url = format!("http://remote-ollama-proxy:{}", world.at.port());
    let mut run = Process::start("tests/clients/run.sh", script("run.sh").arg(url));
    run.ended_with(0).await;
    println!("{}", run.line(&[" passed in "]).await);
}

/// Long enough for all tests of one file. Each of their waits has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(900);

/// Three peers, of which one may use every endpoint that is on, one no endpoint that answers a prompt, and one no model that exists.
const PEERS: [&str; 3] = ["laptop", "guest", "narrow"];

/// The policy file for them.
fn policy() -> serde_json::Value {
    let grant = |peer: &str, rights| {
        json!({
            "src": [format!("tag:{peer}")], "dst": ["tag:ai-server"], "ip": ["tcp:11434"],
            "app": {"remote-ollama-proxy.internal/cap/ollama": [rights]},
        })
    };
    json!({
        "tagOwners": {"tag:ai-server": [], "tag:laptop": [], "tag:guest": [], "tag:narrow": []},
        "grants": [
            grant("laptop", json!({})),
            grant("guest", json!({"endpoints": ["api_tags", "api_show", "api_version", "v1_models", "v1_model"]})),
            grant("narrow", json!({"models": ["another"]})),
        ],
    })
}

/// Runs one file of tests/clients/agents against a proxy in front of the scripted stand-in for Ollama. The log of what the clients asked
/// is the proxy's own access log.
async fn agents(file: &str) {
    let mut standin = Process::start("tests/clients/agents/standin.py", &mut script("agents/standin.py"));
    let upstream = standin.line(&["http://"]).await;
    let tailnet = Tailnet::new().await;
    tailnet.api("PUT", "/policy", policy()).await;
    let key = Some(tailnet.key(json!({})).await);
    let config = "http.hosts = [\"127.0.0.1\"]\nendpoints.api_chat = true\n".to_owned();
    let start = Start { key, config, ..Start::new(&tailnet, &upstream) };
    let _proxy = start.up().await;
    let mut command = script("agents/run.sh");
    command.arg(file).env("STANDIN_URL", &upstream).env("ACCESS_LOG", start.state.join("access.jsonl"));
    for peer in PEERS {
        tailnet.client(peer, &[&format!("tag:{peer}")]).await;
        let at = tailnet.forward(peer, "remote-ollama-proxy:11434").await;
        command.env(format!("{}_URL", peer.to_uppercase()), format!("http://{at}"));
    }
    let mut run = Process::start("tests/clients/agents/run.sh", &mut command);
    let status = run.ended_within(PATIENCE).await;
    assert!(status.success(), "tests/clients/agents/{file}: {status}");
    println!("{}", run.line(&[" passed in "]).await);
}

/// One test for each file of tests/clients/agents. They need 2 GB of packages.
macro_rules! agents {
    ($($name:ident: $file:literal,)*) => {$(
        #[tokio::test]
        #[ignore = "make test-clients installs the clients and runs it"]
        async fn $name() {
            agents($file).await;
        }
    )*};
}

agents! {
    claude_code_works_and_shows_refusals: "test_claude_code.py",
    codex_works_and_shows_refusals: "test_codex.py",
    http_libraries_work_and_show_refusals: "test_http.py",
    opencode_works_and_shows_refusals: "test_opencode.py",
    python_libraries_work_and_show_refusals: "test_python.py",
    the_ai_sdk_works_and_shows_refusals: "test_ai_sdk.py",
}
