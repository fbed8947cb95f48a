//! `logout`: removes the node from the tailnet and its keys from this machine.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use clap::Args;

use super::ask::refuse_running;
use super::root::NodeArgs;
use super::run::exit_code;
use super::{complain, exit, refuse, show};
use crate::admission::QuotaFile;
use crate::audit::Journal;
use crate::config::{AccessLogConfig, Config};
use crate::control::ControlTask;
use crate::run;

#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    /// Do not ask for confirmation on the terminal.
    #[arg(long)]
    yes: bool,
    /// Remove the access log, the journal and what was spent of quotas from the state folder as well.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) fn logout(args: &LogoutArgs) -> u8 {
    if let Some(code) = args.node.refuse_root() {
        return code;
    }
    let config = match args.node.config.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let dir = config.node.state_dir.display();
    // The node would create the folder.
    if !config.node.state_dir.exists() {
        return show(&format!("no node is stored: {dir} does not exist\n"));
    }
    if let Some(code) = refuse_running(&config) {
        return code;
    }
    if !args.yes && std::io::stdin().is_terminal() && !is_confirmed(&config) {
        return show("nothing was changed\n");
    }
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map(|runtime| runtime.block_on(run::logout(&config)));
    let outcome = match done {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(failure)) => {
            complain(&format!("remote-ollama-proxy: {failure}"));
            return exit_code(&failure);
        }
        Err(error) => {
            complain(&format!("remote-ollama-proxy: the async runtime does not start: {error}"));
            return exit::FAILURE;
        }
    };
    let text = text_of(&config, outcome.stored, outcome.error);
    if args.all
        && let Err(error) = remove_records(&config.node.state_dir)
    {
        complain(&format!(
            "remote-ollama-proxy: cannot remove the access log, the journal and quotas.jsonl in {dir}: {error}: remove them by hand"
        ));
        return exit::STATE;
    }
    show(&text)
}

/// `stored`: whether a node was stored. `error`: why the control server still has it.
fn text_of(config: &Config, stored: bool, error: Option<String>) -> String {
    let dir = config.node.state_dir.display();
    match error {
        _ if !stored => format!("no node was stored in {dir}\n"),
        None => format!("logged out: the node is removed from the tailnet, and its keys from {dir}\n"),
        Some(error) => format!(
            "logged out on this machine: the keys are removed from {dir}\n\
             removing the node {} from the tailnet failed: {error}\nnext: {}\n",
            config.node.hostname,
            ControlTask::Remove.at(config.node.control_url.as_deref())
        ),
    }
}

/// Removes the access log and the journal, with their rotated files, and what was spent of quotas.
fn remove_records(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if [AccessLogConfig::FILE, Journal::FILE, QuotaFile::NAME].iter().any(|file| name.starts_with(file)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_confirmed(config: &Config) -> bool {
    complain(&format!(
        "This removes the keys of the node {} in {}. The node can't get its address back. Continue? [y/N]",
        config.node.hostname,
        config.node.state_dir.display()
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
