//! The command line: one file for each subcommand.

mod check;
#[cfg(feature = "tailnet")]
mod run;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Faults, Overrides};

/// Ends of the process that a service manager or a script can tell apart. The numbers from 64 on
/// are those of BSD's sysexits.h; clap ends with 2 for a wrong command line.
pub mod exit {
    /// Ended as asked.
    pub const OK: u8 = 0;
    /// An unexpected failure.
    pub const FAILURE: u8 = 1;
    /// The tailnet's control server can't be reached.
    pub const UNAVAILABLE: u8 = 69;
    /// The state folder can't be used.
    pub const STATE: u8 = 73;
    /// The key is refused or expired, or somebody must log the node in or approve it.
    pub const NO_PERMISSION: u8 = 77;
    /// The config is invalid, or the tailnet requires what this node does not do.
    pub const CONFIG: u8 = 78;
}

/// Your own Ollama, reachable inside your tailnet by exactly the peers you chose.
#[derive(Debug, Parser)]
#[command(name = "remote-ollama-proxy", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join the tailnet and serve peers until told to stop.
    Run(ConfigArgs),
    /// Check the config, list every fault, show what is in force.
    Check(ConfigArgs),
    /// Show the version and what it is made of.
    Version,
}

/// Where the config is, and what goes before it.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// The config file [default: config.toml in the user's config folder, if it is there].
    #[arg(long, short, value_name = "FILE", env = "REMOTE_OLLAMA_PROXY_CONFIG")]
    config: Option<PathBuf>,
    /// Name of the node in the tailnet.
    #[arg(long, value_name = "NAME", env = "REMOTE_OLLAMA_PROXY_HOSTNAME")]
    hostname: Option<String>,
    /// Folder for the node's keys.
    #[arg(long, value_name = "DIR", env = "REMOTE_OLLAMA_PROXY_STATE_DIR")]
    state_dir: Option<String>,
    /// Control server, for tailnets that are not Tailscale's.
    #[arg(long, value_name = "URL", env = "REMOTE_OLLAMA_PROXY_CONTROL_URL")]
    control_url: Option<String>,
    /// Port in the tailnet.
    #[arg(long, value_name = "PORT", env = "REMOTE_OLLAMA_PROXY_PORT")]
    port: Option<i64>,
    /// Ollama: http://127.0.0.1:PORT or unix:/PATH.
    #[arg(long, value_name = "URL", env = "REMOTE_OLLAMA_PROXY_UPSTREAM")]
    upstream: Option<String>,
    /// Log level: error, warn, info, debug, trace, or by module: info,tsnet=debug.
    #[arg(long, value_name = "LEVEL", env = "REMOTE_OLLAMA_PROXY_LOG")]
    log: Option<String>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, Faults> {
        let overrides = Overrides {
            hostname: self.hostname.clone(),
            state_dir: self.state_dir.clone(),
            control_url: self.control_url.clone(),
            port: self.port,
            upstream: self.upstream.clone(),
            log: self.log.clone(),
        };
        config::load(self.config.as_deref(), &overrides)
    }
}

impl Cli {
    /// Runs the subcommand to its end.
    pub fn run(self) -> ExitCode {
        let code = match self.command {
            #[cfg(feature = "tailnet")]
            Command::Run(args) => run::run(&args),
            #[cfg(not(feature = "tailnet"))]
            Command::Run(_) => {
                eprintln!("remote-ollama-proxy: this build has no tailnet node (feature `tailnet` is off)");
                exit::FAILURE
            }
            Command::Check(args) => check::check(&args),
            Command::Version => version::version(),
        };
        ExitCode::from(code)
    }
}

/// Shows the faults of a config, a line each.
fn refuse(faults: &Faults) -> u8 {
    eprintln!("{faults}");
    let n = faults.faults.len();
    eprintln!(
        "remote-ollama-proxy: {n} fault{} in the config: nothing was started",
        if n == 1 { "" } else { "s" }
    );
    exit::CONFIG
}
