//! The program; ARCHITECTURE.md says where everything is.

use std::process::ExitCode;

use clap::Parser;

/// Gives the memory of a burst back to the system, which glibc's does not.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    remote_ollama_proxy::cli::Cli::parse().run()
}
