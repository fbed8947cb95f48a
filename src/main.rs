//! The program; ARCHITECTURE.md says where everything is.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    remote_ollama_proxy::cli::Cli::parse().run()
}
