//! The `acl` command: its output and its exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

mod exit_codes;
mod headscale;
mod node;
mod printed;
mod report;

/// Runs `acl` with this config and this standard input.
fn acl(config: &str, args: &[&str], input: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, format!("node.state_dir = {:?}\n{config}", dir.path().join("state"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
    command.env_clear().arg("acl").arg("--config").arg(&file).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn sample() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/acl/policy.hujson").to_owned()
}
