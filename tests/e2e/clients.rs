//! The clients that people use: the official Python packages, with the base URL the only change.

use std::path::Path;

use tokio::process::Command;

use crate::ollama;
use crate::process::Process;
use crate::tailnet::World;

#[tokio::test]
async fn the_official_python_packages_work() {
    let world = World::new(ollama::url(), "").await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/run.sh");
    // As in the tailnet: the name is MagicDNS's to resolve.
    let url = format!("http://remote-ollama-proxy:{}", world.at.port());
    let mut run = Process::start("tests/clients/run.sh", Command::new(script).arg(url));
    run.ended_with(0).await;
    println!("{}", run.line(&[" passed in "]).await);
}
