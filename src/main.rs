//! The program; ARCHITECTURE.md says where everything is.

use std::process::ExitCode;

use clap::Parser;

/// Gives the memory of a burst back to the system, which glibc's does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    remote_ollama_proxy::cli::Cli::parse().run()
}
