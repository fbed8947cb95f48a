//! Nothing here needs root, so nothing here runs as root.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{ConfigArgs, complain, exit};

/// What `run`, `login` and `logout` take.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Even as root, as in a container that has no other account.
    // A word that is neither yes nor no is refused: what weakens something must not be guessed.
    #[arg(long, env = "REMOTE_OLLAMA_PROXY_AS_ROOT", hide_env_values = true, value_parser = BoolishValueParser::new())]
    as_root: bool,
}

impl NodeArgs {
    /// The exit code, once what is wrong was said, if root runs this and did not mean it.
    pub(super) fn refuse_root(&self) -> Option<u8> {
        (is_root() && !self.as_root).then(|| {
            complain(
                "remote-ollama-proxy: run as root: nothing here needs root's rights, and a hole in it would give them \
                 away: run it from an ordinary account, or, in a container that has no other, with --as-root \
                 (REMOTE_OLLAMA_PROXY_AS_ROOT=1)",
            );
            exit::ROOT
        })
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
