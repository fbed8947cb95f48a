//! `completions`: prints completions for a shell.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::show;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> u8 {
    let mut text = Vec::new();
    generate(args.shell, &mut command, "remote-ollama-proxy", &mut text);
    show(&String::from_utf8_lossy(&text))
}
