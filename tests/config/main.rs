//! The config and the command line, through the real binary with its own home folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod advisories;
mod architecture;
mod cli;
mod credentials;
mod docs;
mod endpoints;
mod events;
mod example;
mod fixtures;
mod init;
#[path = "../support/ollama_routes.rs"]
mod ollama_routes;
mod overrides;
mod pages;
mod recipes;
mod reference;
mod report;
mod secrets;
mod security;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary home folder.
struct Home(tempfile::TempDir);

/// The result of a process.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a private file and its folders.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        path
    }

    /// The binary with an empty environment. The developer may be root.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
        command.args(args).env_clear().env("HOME", self.path()).env("REMOTE_OLLAMA_PROXY_AS_ROOT", "1");
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&mut self.command(args))
    }
}

impl Ended {
    fn of(command: &mut Command) -> Ended {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}
