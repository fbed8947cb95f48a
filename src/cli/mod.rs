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
use crate::config::Faults;

/// Ends of the process that a service manager or a script can tell apart. The numbers from 64 on
/// are those of BSD's sysexits.h; 2 is that of the command line's parser.
pub mod exit {
    macro_rules! codes {
        ($(#[doc = $doc:literal] $name:ident = $code:literal;)*) => {
            $(#[doc = $doc] pub const $name: u8 = $code;)*

            /// Every code with what it means.
            pub const TABLE: &[(u8, &str)] = &[$(($code, $doc)),*];
        };
    }

    codes! {
        /// Ended as asked.
        OK = 0;
        /// An unexpected failure.
        FAILURE = 1;
        /// The command line is wrong.
        USAGE = 2;
        /// The service is installed, but does not run.
        NOT_RUNNING = 3;
        /// The service is not installed.
        NOT_INSTALLED = 4;
        /// The policy file is sound, and lets no device reach the node.
        CLOSED = 65;
        /// Run as root, which needs to be meant.
        ROOT = 67;
        /// The tailnet's control server, the running proxy, Ollama or the keychain can't be reached.
        UNAVAILABLE = 69;
        /// The system's service manager is missing or refuses.
        MANAGER = 71;
        /// The state folder can't be used, or a file can't be written.
        STATE = 73;
        /// The key is refused or expired, or somebody must log the node in or approve it.
        NO_PERMISSION = 77;
        /// The config is invalid, or the tailnet requires what this node does not do.
        CONFIG = 78;
    }

    /// What a code means, or nothing if it is none of these.
    pub(super) fn meaning(code: u8) -> &'static str {
        TABLE.iter().find(|(c, _)| *c == code).map_or("", |(_, meaning)| meaning.trim())
    }

    /// The whole table, as the help shows it.
    pub(super) fn help() -> String {
        listed(|code| Some(meaning(code)))
    }

    /// The codes of a command that starts a node, in addition to the first three.
    pub(super) fn of_node(codes: &[u8]) -> String {
        listed(|code| (code <= USAGE || codes.contains(&code)).then(|| meaning(code)))
    }

    /// The codes of a command that starts no node, in addition to the first three.
    pub(super) fn of(codes: &[u8]) -> String {
        listed(|code| match code {
            _ if code > USAGE && !codes.contains(&code) => None,
            CONFIG => Some("The config is invalid"),
            _ => Some(meaning(code)),
        })
    }

    /// The codes of `init`, which writes one file and no state folder.
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

/// What the help shows of each, in the order in which somebody meets them.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write a config with what you answer, or what the flags say.
    #[command(after_help = exit::of_init())]
    Init(init::InitArgs),
    /// Review how safe this is set up: what holds, what does not, and what to do.
    #[command(after_help = doctor::HELP, mut_args(args::shown(&["hostname", "state-dir", "port", "upstream"])))]
    Doctor(doctor::DoctorArgs),
    /// Join the tailnet once, with a key or in a browser, so that `run` needs no key.
    #[cfg(feature = "tailnet")]
    #[command(after_help = exit::of_node(NODE))]
    Login(root::NodeArgs),
    /// Keep the key that the node joins with in the system's keychain.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Join the tailnet and serve peers until told to stop.
    #[command(after_help = exit::of_node(NODE))]
    Run(root::NodeArgs),
    /// Have the system keep the proxy running: install, uninstall, start, stop, status.
    Service(service::ServiceArgs),
    /// Say how the running node is: itself, its peers, Ollama, what runs, and the config in force.
    #[command(
        after_help = exit::of(&[exit::UNAVAILABLE, exit::NO_PERMISSION, exit::CONFIG]),
        mut_args(args::shown(ASKS))
    )]
    Status(status::StatusArgs),
    /// Watch the running requests, and cancel one.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(ASKS)))]
    Top(ConfigArgs),
    /// List every peer that the running node sees: what it may do, through what, and what it does now.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(ASKS)))]
    Who(who::WhoArgs),
    /// Sum up who asked for what, who was refused, who is new and what was unusual, from the logs.
    #[command(after_help = report::HELP, mut_args(args::shown(ASKS)))]
    Report(report::ReportArgs),
    /// Cancel a request that runs or waits.
    #[command(after_help = cancel::HELP, mut_args(args::shown(ASKS)))]
    Cancel(cancel::CancelArgs),
    /// Have the running node take its config anew; running requests go on.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(ASKS)))]
    Reload(ConfigArgs),
    /// Check the config, list every fault, show what is in force.
    #[command(after_help = exit::of(&[exit::CONFIG]))]
    Check(ConfigArgs),
    /// Print the lines that the tailnet policy file needs for this node, or check such a file.
    #[command(after_help = acl::HELP, mut_args(args::shown(&["state-dir", "control-url", "port"])))]
    Acl(acl::AclArgs),
    /// Take the node out of the tailnet and its keys off this machine.
    #[cfg(feature = "tailnet")]
    #[command(
        after_help = exit::of(&[exit::ROOT, exit::STATE, exit::CONFIG]),
        mut_args(args::shown(&["hostname", "state-dir", "control-url"]))
    )]
    Logout(logout::LogoutArgs),
    /// Print what a shell needs to complete this command line.
    #[command(arg_required_else_help = true)]
    Completions(completions::CompletionsArgs),
    /// Print the manual page.
    Man(man::ManArgs),
    /// Show the version and what it is made of.
    Version,
}

/// What a command that starts a node ends with.
const NODE: &[u8] = &[exit::ROOT, exit::UNAVAILABLE, exit::STATE, exit::NO_PERMISSION, exit::CONFIG];

/// What a command that asks the running proxy ends with.
const ASKED: &[u8] = &[exit::UNAVAILABLE, exit::CONFIG];

/// Of the config such a command needs the folder with the socket alone.
const ASKS: &[&str] = &["state-dir"];

impl Cli {
    /// Runs the subcommand to its end.
    pub fn run(self) -> ExitCode {
        // Keys are read once and then removed: a node that is stored must not offer them by itself, and child
        // processes don't need them.
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

/// In place of `run.rs` where there is no node to run.
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

/// Shows the faults of a config, a line each.
fn refuse(faults: &Faults) -> u8 {
    refuse_over(&faults.faults, "nothing was done")
}

/// The same, and what that means.
fn refuse_over(faults: &[impl Display], therefore: &str) -> u8 {
    faults.iter().for_each(|fault| complain(&fault.to_string()));
    let faults = units::count(faults.len(), "fault");
    complain(&format!("remote-ollama-proxy: {faults} in the config: {therefore}"));
    exit::CONFIG
}

/// Writes to standard error; there is nobody to tell if that fails.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to standard output, whose reader may have left, as `head` does.
fn show(text: &str) -> u8 {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => exit::OK,
        Err(_) => exit::FAILURE,
    }
}
