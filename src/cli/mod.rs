//! The command line: one file for each subcommand. [`exit`] has the table of the exit codes.

mod acl;
mod args;
mod ask;
mod cancel;
mod check;
mod completions;
mod doctor;
mod found;
mod init;
mod key;
#[cfg(feature = "tailnet")]
mod login;
#[cfg(feature = "tailnet")]
mod logout;
mod man;
mod reload;
mod report;
mod root;
#[cfg(feature = "tailnet")]
mod run;
mod service;
mod status;
mod top;
mod units;
mod version;
mod who;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use args::ConfigArgs;
use clap::{Parser, Subcommand};

use crate::auth::Environment;
use crate::config::ConfigFaults;

/// The exit codes, for service managers and scripts. Those from 64 on come from BSD's sysexits.h; 2 is the one of
/// clap.
pub mod exit {
    macro_rules! codes {
        ($(#[doc = $doc:literal] $name:ident = $code:literal;)*) => {
            $(#[doc = $doc] pub const $name: u8 = $code;)*

            /// Every code with its meaning.
            pub const TABLE: &[(u8, &str)] = &[$(($code, $doc)),*];
        };
    }

    codes! {
        /// Success.
        OK = 0;
        /// An unexpected failure.
        FAILURE = 1;
        /// The command line is invalid.
        USAGE = 2;
        /// The service is installed but not running.
        NOT_RUNNING = 3;
        /// The service is not installed.
        NOT_INSTALLED = 4;
        /// The policy file is valid, but lets no device reach the node.
        CLOSED = 65;
        /// Refused to run as root.
        ROOT = 67;
        /// The control server, the running proxy, Ollama or the keychain can't be reached.
        UNAVAILABLE = 69;
        /// The service manager is missing or failed.
        MANAGER = 71;
        /// The state folder can't be used, or a file can't be written.
        STATE = 73;
        /// The key is refused or expired, or the node needs a login or an approval.
        NO_PERMISSION = 77;
        /// The config is invalid, or the tailnet requires a feature that this node lacks.
        CONFIG = 78;
    }

    /// The meaning of a code; empty if it is unknown.
    pub(super) fn meaning(code: u8) -> &'static str {
        TABLE.iter().find(|(c, _)| *c == code).map_or("", |(_, meaning)| meaning.trim())
    }

    /// The whole table for the help.
    pub(super) fn help() -> String {
        listed(|code| Some(meaning(code)))
    }

    /// The first three codes and `codes`, for a command that starts a node.
    pub(super) fn of_node(codes: &[u8]) -> String {
        listed(|code| (code <= USAGE || codes.contains(&code)).then(|| meaning(code)))
    }

    /// The first three codes and `codes`, for a command that starts no node.
    pub(super) fn of(codes: &[u8]) -> String {
        listed(|code| match code {
            _ if code > USAGE && !codes.contains(&code) => None,
            CONFIG => Some("The config is invalid"),
            _ => Some(meaning(code)),
        })
    }

    /// The codes of `init`, which writes a file and no state folder.
    pub(super) fn of_init() -> String {
        listed(|code| match code {
            STATE => Some("The file can't be written"),
            CONFIG => Some("The config is invalid"),
            _ => (code <= USAGE).then(|| meaning(code)),
        })
    }

    fn listed(meaning: impl Fn(u8) -> Option<&'static str>) -> String {
        let rows = TABLE.iter().filter_map(|(code, _)| Some((code, meaning(*code)?)));
        rows.fold("Exit codes:".to_owned(), |help, (code, meaning)| {
            help + &format!("\n  {code:>2}  {}", meaning.trim().trim_end_matches('.'))
        })
    }
}

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
    /// Review the security of this setup, with a remedy for each fault.
    #[command(after_help = doctor::HELP, mut_args(args::shown(&["hostname", "state-dir", "port", "upstream"])))]
    Doctor(doctor::DoctorArgs),
    /// Join the tailnet once, with a key or in a browser, so that `run` needs no key.
    #[cfg(feature = "tailnet")]
    #[command(after_help = exit::of_node(NODE))]
    Login(root::NodeArgs),
    /// Store the node's auth key in the system's keychain, or remove it.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Join the tailnet and serve peers until stopped.
    #[command(after_help = exit::of_node(NODE))]
    Run(root::NodeArgs),
    /// Keep the proxy running with the system's service manager.
    Service(service::ServiceArgs),
    /// Show the state of the running proxy: node, peers, Ollama, requests and config.
    #[command(
        after_help = exit::of(&[exit::UNAVAILABLE, exit::NO_PERMISSION, exit::CONFIG]),
        mut_args(args::shown(ASKS))
    )]
    Status(status::StatusArgs),
    /// Watch the running and waiting requests, and cancel them.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(ASKS)))]
    Top(ConfigArgs),
    /// List every peer with its rights, where they come from, and its current requests.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(ASKS)))]
    Who(who::WhoArgs),
    /// Summarize requests, refusals, new devices and unusual volume of the last days.
    #[command(after_help = report::HELP, mut_args(args::shown(ASKS)))]
    Report(report::ReportArgs),
    /// Cancel a running or waiting request.
    #[command(after_help = cancel::HELP, mut_args(args::shown(ASKS)))]
    Cancel(cancel::CancelArgs),
    /// Reload the config of the running proxy. Running requests continue.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(ASKS)))]
    Reload(ConfigArgs),
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

/// The exit codes of a command that starts a node.
const NODE: &[u8] = &[exit::ROOT, exit::UNAVAILABLE, exit::STATE, exit::NO_PERMISSION, exit::CONFIG];

/// The exit codes of a command that asks the running proxy.
const ASKED: &[u8] = &[exit::UNAVAILABLE, exit::CONFIG];

/// The overrides of such a command, which needs only the folder with the admin socket.
const ASKS: &[&str] = &["state-dir"];

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
            Command::Doctor(args) => doctor::doctor(&args),
            Command::Acl(args) => acl::acl(&args),
            Command::Init(args) => init::init(&args),
            Command::Service(args) => service::service(&args),
            Command::Completions(args) => completions::completions(&args),
            Command::Man(args) => man::man(&args),
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

/// Prints the faults of a config, one a line.
fn refuse(faults: &ConfigFaults) -> u8 {
    refuse_over(&faults.faults, "nothing was done")
}

/// Prints the faults of a config and their consequence.
fn refuse_over(faults: &[impl Display], consequence: &str) -> u8 {
    faults.iter().for_each(|fault| complain(&fault.to_string()));
    let faults = units::count(faults.len(), "fault");
    complain(&format!("remote-ollama-proxy: {faults} in the config: {consequence}"));
    exit::CONFIG
}

/// Writes to standard error. A failure to write can't be reported.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to standard output, which the reader may have closed, as `head` does.
fn show(text: &str) -> u8 {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => exit::OK,
        Err(_) => exit::FAILURE,
    }
}
