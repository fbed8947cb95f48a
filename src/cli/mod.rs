//! The command line: one file for each subcommand. [`exit`] has the table of the exit codes.

mod acl;
mod args;
mod ask;
mod cancel;
mod check;
mod completions;
#[cfg(feature = "tailnet")]
mod diagnostics;
mod doctor;
pub mod exit;
mod found;
mod init;
mod key;
#[cfg(feature = "tailnet")]
mod log_fields;
#[cfg(feature = "tailnet")]
mod login;
#[cfg(feature = "tailnet")]
mod logout;
mod man;
mod output;
mod reload;
mod report;
mod root;
#[cfg(feature = "tailnet")]
mod run;
mod service;
mod status;
mod test_event;
mod top;
mod units;
mod version;
mod who;

use std::process::ExitCode;

use args::{ADMIN_OVERRIDES, ConfigArgs};
use clap::{CommandFactory, Parser, Subcommand};
use exit::{ADMIN_CODES, NODE_CODES};
use output::{complain, refuse, refuse_over, show};

use crate::auth::Environment;

/// Your own Ollama, reachable inside your tailnet by exactly the peers you chose.
#[derive(Debug, Parser)]
#[command(name = "remote-ollama-proxy", version, propagate_version = true, after_help = exit::help())]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands. The usual ones are first in the help.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write a config file from flags, or from answers at a prompt.
    #[command(after_help = exit::of_init())]
    Init(init::InitArgs),
    /// Review this setup: its security, Ollama, and what takes the machine away; with a remedy for each fault.
    #[command(after_help = doctor::HELP, mut_args(args::shown(&["hostname", "state-dir", "port", "upstream"])))]
    Doctor(doctor::DoctorArgs),
    /// Join the tailnet once, with a key or in a browser, so that `run` needs no key.
    #[cfg(feature = "tailnet")]
    #[command(after_help = exit::of_node(NODE_CODES))]
    Login(root::NodeArgs),
    /// Store the node's auth key in the system's keychain, or remove it.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Join the tailnet and serve peers until stopped.
    #[command(after_help = exit::of_node(NODE_CODES))]
    Run(root::NodeArgs),
    /// Keep the proxy running with the system's service manager.
    Service(service::ServiceArgs),
    /// Show the state of the running proxy: node, peers, Ollama, requests and config.
    #[command(
        after_help = exit::of(&[exit::UNAVAILABLE, exit::NO_PERMISSION, exit::CONFIG]),
        mut_args(args::shown(ADMIN_OVERRIDES))
    )]
    Status(status::StatusArgs),
    /// Watch the running and waiting requests, and cancel them.
    #[command(after_help = exit::of(ADMIN_CODES), mut_args(args::shown(ADMIN_OVERRIDES)))]
    Top(ConfigArgs),
    /// List every peer with its rights, where they come from, and its current requests.
    #[command(after_help = exit::of(ADMIN_CODES), mut_args(args::shown(ADMIN_OVERRIDES)))]
    Who(who::WhoArgs),
    /// Summarize requests, refusals, new devices and unusual volume in a time span.
    #[command(after_help = report::HELP, mut_args(args::shown(ADMIN_OVERRIDES)))]
    Report(report::ReportArgs),
    /// Cancel a running or waiting request.
    #[command(after_help = cancel::HELP, mut_args(args::shown(ADMIN_OVERRIDES)))]
    Cancel(cancel::CancelArgs),
    /// Reload the config of the running proxy without interrupting requests.
    #[command(after_help = exit::of(ADMIN_CODES), mut_args(args::shown(ADMIN_OVERRIDES)))]
    Reload(ConfigArgs),
    /// Run the command of `[events]` once with an invented event, and show the outcome.
    #[command(after_help = test_event::HELP, mut_args(args::shown(&["hostname"])))]
    TestEvent(test_event::TestEventArgs),
    /// Check the config: list all faults, or all settings in force.
    #[command(after_help = exit::of(&[exit::CONFIG]))]
    Check(ConfigArgs),
    /// Print the lines that the tailnet policy file needs for this node, or evaluate such a file.
    #[command(after_help = acl::HELP, mut_args(args::shown(&["state-dir", "control-url", "port"])))]
    Acl(acl::AclArgs),
    /// Remove the node from the tailnet and its keys from this machine.
    #[cfg(feature = "tailnet")]
    #[command(
        after_help = exit::of(&[exit::ROOT, exit::STATE, exit::CONFIG]),
        mut_args(args::shown(&["hostname", "state-dir", "control-url"]))
    )]
    Logout(logout::LogoutArgs),
    /// Print completions for a shell.
    #[command(arg_required_else_help = true)]
    Completions(completions::CompletionsArgs),
    /// Print the manual page.
    Man(man::ManArgs),
    /// Print the versions of the program and its tailnet node.
    Version,
}

impl Cli {
    /// Runs the subcommand to its end.
    pub fn run(self) -> ExitCode {
        // Keys are read once and then removed from the environment, so that neither a stored node nor child processes
        // use them.
        Environment::of_process();
        #[cfg(feature = "tailnet")]
        crate::tsnet::forget_credentials();
        let code = match self.command {
            Command::Run(args) => args.refuse_root().unwrap_or_else(|| run::run(args.config)),
            #[cfg(feature = "tailnet")]
            Command::Login(args) => args.refuse_root().unwrap_or_else(|| login::login(&args.config)),
            #[cfg(feature = "tailnet")]
            Command::Logout(args) => logout::logout(&args),
            Command::Key(command) => key::key(&command),
            Command::Check(args) => check::check(&args),
            Command::Status(args) => status::status(&args),
            Command::Top(args) => top::top(&args),
            Command::Cancel(args) => cancel::cancel(&args),
            Command::Who(args) => who::who(&args),
            Command::Report(args) => report::report(&args),
            Command::Reload(args) => reload::reload(&args),
            Command::TestEvent(args) => test_event::test_event(&args),
            Command::Doctor(args) => doctor::doctor(&args),
            Command::Acl(args) => acl::acl(&args),
            Command::Init(args) => init::init(&args),
            Command::Service(args) => service::service(&args),
            Command::Completions(args) => completions::completions(&args, Cli::command()),
            Command::Man(args) => man::man(&args, Cli::command()),
            Command::Version => version::version(),
        };
        ExitCode::from(code)
    }
}

/// Replaces `run.rs` in builds without a tailnet node.
#[cfg(not(feature = "tailnet"))]
mod run {
    use super::{ConfigArgs, complain, exit, refuse};

    pub(super) fn run(args: ConfigArgs) -> u8 {
        match args.load() {
            Ok(_) => {
                complain(
                    "remote-ollama-proxy: this build has no tailnet node: build it with the feature `tailnet`",
                );
                exit::FAILURE
            }
            Err(faults) => refuse(&faults),
        }
    }
}
