//! `completions`: prints completions for a shell.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, show};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> u8 {
    let mut text = Vec::new();
    generate(args.shell, &mut Cli::command(), "remote-ollama-proxy", &mut text);
    show(&String::from_utf8_lossy(&text))
}
