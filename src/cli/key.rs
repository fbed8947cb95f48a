//! `key`: stores the node's auth key in the system's keychain, or removes it.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use clap::Subcommand;
use tokio::signal::unix::SignalKind;
use tokio::sync::oneshot;

use super::ask::runtime;
use super::{ADMIN_CODES, ConfigArgs, args, complain, exit, refuse, show};
use crate::auth::{Credential, Keychain, KeychainFault};
use crate::signals;

/// The time limit of a call to the keychain, which the user may have to unlock.
const KEYCHAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// The override that names the entry of the keychain.
const OVERRIDES: &[&str] = &["hostname"];

/// An input of this length in bytes or longer is refused.
const TOO_LONG: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Store a key from the terminal (without echo) or standard input, replacing an older one.
    #[command(after_help = exit::of(ADMIN_CODES), mut_args(args::shown(OVERRIDES)))]
    Set(ConfigArgs),
    /// Remove the stored key.
    #[command(after_help = exit::of(ADMIN_CODES), mut_args(args::shown(OVERRIDES)))]
    Remove(ConfigArgs),
}

pub(super) fn key(command: &KeyCommand) -> u8 {
    let (KeyCommand::Set(args) | KeyCommand::Remove(args)) = command;
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let keychain = Keychain::of(&config.node.hostname);
    let done = match command {
        KeyCommand::Set(_) => match read_key() {
            Ok(Some(credential)) => set(&keychain, credential, config.node.keychain),
            Ok(None) => {
                complain("\nremote-ollama-proxy: stopped by a signal: nothing was stored");
                return exit::FAILURE;
            }
            Err(fault) => {
                complain(&format!("remote-ollama-proxy: the input {fault}"));
                return exit::USAGE;
            }
        },
        KeyCommand::Remove(_) => remove(&keychain),
    };
    match done {
        Ok(text) => show(&text),
        Err(fault) => {
            complain(&format!("remote-ollama-proxy: {fault}"));
            exit::UNAVAILABLE
        }
    }
}

fn set(keychain: &Keychain, credential: Credential, is_used: bool) -> Result<String, KeychainFault> {
    let kind = credential.kind();
    keychain.store(credential, KEYCHAIN_TIMEOUT)?;
    let hint = if is_used { "" } else { "\nnext: set node.keychain = true, so that the proxy uses it" };
    Ok(format!("stored the {kind} in {keychain}{hint}\n"))
}

fn remove(keychain: &Keychain) -> Result<String, KeychainFault> {
    let existed = keychain.remove(KEYCHAIN_TIMEOUT)?;
    Ok(if existed {
        format!("removed the key from {keychain}\n")
    } else {
        format!("no key is in {keychain}\n")
    })
}

/// Reads the key; `None` after a signal.
fn read_key() -> Result<Option<Credential>, String> {
    let mut stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        read_without_echo().map_err(|fault| format!("{fault:#}"))
    } else {
        let mut text = String::new();
        stdin.by_ref().take(TOO_LONG).read_to_string(&mut text).map(|_| Some(text)).map_err(|e| e.to_string())
    };
    let text = text.map_err(|fault| format!("can't be read: {fault}"))?;
    text.map(|text| Credential::of(&text)).transpose().map_err(|fault| fault.to_string())
}

/// Reads a line without echo; `None` after SIGINT or SIGTERM. By hand, because `rpassword` leaves the echo off when a signal
/// ends the process.
fn read_without_echo() -> anyhow::Result<Option<String>> {
    runtime()?.block_on(async {
        let mut int = signals::receive(SignalKind::interrupt())?;
        let mut term = signals::receive(SignalKind::terminate())?;
        let _echo_off = EchoOff::new();
        complain("Auth key or OAuth client secret (it is not shown):");
        let (sender, line) = oneshot::channel();
        // The read blocks, so it has its own thread, which ends with the process.
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = sender.send(std::io::stdin().read_line(&mut text).map(|_| text));
        });
        tokio::select! {
            line = line => Ok(Some(line??)),
            _ = int.recv() => Ok(None),
            _ = term.recv() => Ok(None),
        }
    })
}

/// Turns the terminal's echo off until it is dropped.
struct EchoOff(Option<rustix::termios::Termios>);

impl EchoOff {
    fn new() -> EchoOff {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            silent.local_modes.insert(LocalModes::ECHONL);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent);
        }
        EchoOff(before)
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
