//! `logout`: takes the node out of the tailnet and off this machine.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use clap::Args;

use super::ask::refuse_running;
use super::root::NodeArgs;
use super::run::exit_code;
use super::{complain, exit, refuse, show};
use crate::audit::Journal;
use crate::config::Config;
use crate::control::ControlTask;
use crate::run;

#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    /// Do not ask on the terminal.
    #[arg(long)]
    yes: bool,
    /// Remove the journal of access gained and lost, too.
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
    // The library would make the folder.
    if !config.node.state_dir.exists() {
        return show(&format!("no node is stored: {dir} does not exist\n"));
    }
    if let Some(code) = refuse_running(&config) {
        return code;
    }
    if !args.yes && std::io::stdin().is_terminal() && !agreed(&config) {
        return show("nothing was changed\n");
    }
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map(|runtime| runtime.block_on(run::logout(&config)));
    let farewell = match done {
        Ok(Ok(farewell)) => farewell,
        Ok(Err(failure)) => {
            complain(&format!("remote-ollama-proxy: {failure}"));
            return exit_code(&failure);
        }
        Err(error) => {
            complain(&format!("remote-ollama-proxy: the async runtime does not start: {error}"));
            return exit::FAILURE;
        }
    };
    let said = match (farewell.stored, farewell.error) {
        (false, _) => format!("no node was stored in {dir}\n"),
        (true, None) => format!("logged out: the tailnet has been told, and {dir} has no keys any more\n"),
        (true, Some(reason)) => format!(
            "logged out here: {dir} has no keys any more\n\
             The tailnet could not be told: {reason}\nTo end {} there, too, {}.\n",
            config.node.hostname,
            ControlTask::Remove.at(config.node.control_url.as_deref())
        ),
    };
    if args.all
        && let Err(error) = remove_journal(&config.node.state_dir)
    {
        complain(&format!(
            "remote-ollama-proxy: the journal in {dir} can't be removed: {error}: remove it by hand"
        ));
        return exit::STATE;
    }
    show(&said)
}

/// The journal and what was set aside of it.
fn remove_journal(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(Journal::FILE) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn agreed(config: &Config) -> bool {
    complain(&format!(
        "This removes the keys of the node {} in {}; it can't come back with its address. Go on? [y/N]",
        config.node.hostname,
        config.node.state_dir.display()
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
