//! `key`: puts the key that the node joins with into the system's keychain, or takes it out.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::ask::runtime;
use super::{ASKED, ConfigArgs, args, complain, exit, refuse, show};
use crate::auth::{Credential, Keychain, KeychainFault};

/// Somebody may have to unlock the keychain.
const PATIENCE: Duration = Duration::from_secs(120);

/// An entry of the keychain goes by the node's name.
const NAMES: &[&str] = &["hostname"];

/// From which number of bytes on an input is no key.
const TOO_LONG: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Store the key that is typed, unseen, or comes from standard input; in place of the one there is.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(NAMES)))]
    Set(ConfigArgs),
    /// Remove the stored key.
    #[command(after_help = exit::of(ASKED), mut_args(args::shown(NAMES)))]
    Remove(ConfigArgs),
}

pub(super) fn key(command: &KeyCommand) -> u8 {
    let (KeyCommand::Set(args) | KeyCommand::Remove(args)) = command;
    // What the node joins with so far may be missing or wrong; only its name is needed.
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let keychain = Keychain::of(&config.node.hostname);
    let done = match command {
        KeyCommand::Set(_) => match typed() {
            Ok(Some(credential)) => set(&keychain, credential, config.node.keychain),
            Ok(None) => {
                complain("\nremote-ollama-proxy: told to stop: nothing was stored");
                return exit::FAILURE;
            }
            Err(fault) => {
                complain(&format!("remote-ollama-proxy: what was typed {fault}"));
                return exit::USAGE;
            }
        },
        KeyCommand::Remove(_) => keychain.remove(PATIENCE).map(|was_there| match was_there {
            true => format!("removed from {keychain}\n"),
            false => format!("there was no key in {keychain}\n"),
        }),
    };
    match done {
        Ok(said) => show(&said),
        Err(fault) => {
            complain(&format!("remote-ollama-proxy: {fault}"));
            exit::UNAVAILABLE
        }
    }
}

fn set(keychain: &Keychain, credential: Credential, looked_at: bool) -> Result<String, KeychainFault> {
    let kind = credential.kind();
    keychain.store(credential, PATIENCE)?;
    let hint = if looked_at { "" } else { "\nset node.keychain = true to have it looked for there" };
    Ok(format!("stored the {kind} in {keychain}{hint}\n"))
}

/// The key; nothing if somebody has thought better of it.
fn typed() -> Result<Option<Credential>, String> {
    let mut stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        unseen().map_err(|fault| format!("{fault:#}"))
    } else {
        let mut text = String::new();
        stdin.by_ref().take(TOO_LONG).read_to_string(&mut text).map(|_| Some(text)).map_err(|e| e.to_string())
    };
    let text = text.map_err(|fault| format!("can't be read: {fault}"))?;
    text.map(|text| Credential::of(&text)).transpose().map_err(|fault| fault.to_string())
}

/// A line that the terminal does not show; nothing if a signal comes first, which would otherwise leave the
/// terminal like that.
fn unseen() -> anyhow::Result<Option<String>> {
    runtime()?.block_on(async {
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let _unseen = Unseen::new();
        complain("Auth key or OAuth client secret (it is not shown):");
        let (tell, line) = oneshot::channel();
        // It blocks, so has a thread of its own, which ends with the process.
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = tell.send(std::io::stdin().read_line(&mut text).map(|_| text));
        });
        tokio::select! {
            line = line => Ok(Some(line??)),
            _ = int.recv() => Ok(None),
            _ = term.recv() => Ok(None),
        }
    })
}

/// The terminal does not show what is typed for as long as this lives.
struct Unseen(Option<rustix::termios::Termios>);

impl Unseen {
    fn new() -> Unseen {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut unseen = before.clone();
            unseen.local_modes.remove(LocalModes::ECHO);
            unseen.local_modes.insert(LocalModes::ECHONL);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &unseen);
        }
        Unseen(before)
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
