//! The binary. ARCHITECTURE.md describes its modules.

use std::process::ExitCode;

use clap::Parser;

/// Returns memory to the system after a burst, which glibc's allocator does not.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    remote_ollama_proxy::cli::Cli::parse().run()
}
