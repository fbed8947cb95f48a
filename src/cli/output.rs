//! Text on the terminal.

use std::fmt::Display;
use std::io::Write;

use super::{exit, units};
use crate::config::ConfigFaults;

/// Prints the faults of a config, one a line.
pub(super) fn refuse(faults: &ConfigFaults) -> u8 {
    refuse_over(&faults.faults, "nothing was done")
}

/// Prints the faults of a config and their consequence.
pub(super) fn refuse_over(faults: &[impl Display], consequence: &str) -> u8 {
    faults.iter().for_each(|fault| complain(&fault.to_string()));
    let faults = units::count(faults.len(), "fault");
    complain(&format!("remote-ollama-proxy: {faults} in the config: {consequence}"));
    exit::CONFIG
}

/// Writes to standard error. A failure to write can't be reported.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to standard output, which the reader may have closed, as `head` does.
pub(super) fn show(text: &str) -> u8 {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => exit::OK,
        Err(_) => exit::FAILURE,
    }
}
