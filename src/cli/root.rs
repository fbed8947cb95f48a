//! Refuses to run as root, whose rights the program does not need.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{ConfigArgs, complain, exit};

/// The flags of `run`, `login` and `logout`.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Run even as root, for containers without another account.
    // A value that is neither yes nor no is refused: a guess could weaken security.
    #[arg(long, env = "REMOTE_OLLAMA_PROXY_AS_ROOT", hide_env_values = true, value_parser = BoolishValueParser::new())]
    as_root: bool,
}

impl NodeArgs {
    /// Refuses root without `--as-root`: prints the reason and returns the exit code.
    pub(super) fn refuse_root(&self) -> Option<u8> {
        (is_root() && !self.as_root).then(|| {
            complain(
                "remote-ollama-proxy: refused to run as root: the proxy needs no root rights, and a vulnerability would \
                 expose them: run it from an ordinary account, or, in a container without one, with --as-root \
                 (REMOTE_OLLAMA_PROXY_AS_ROOT=1)",
            );
            exit::ROOT
        })
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
