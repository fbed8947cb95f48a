//! Installs the handlers of signals, in a process that also runs Go code. clippy.toml forbids tokio's own functions elsewhere.
//! A library that installs a handler by itself, as crossterm does for SIGWINCH, finds one here that it shares.

use std::io;

use tokio::signal::unix::{Signal, SignalKind};

/// Receives this signal from now on, in place of what it does by default. Call it before a tailnet node starts, while Go's
/// threads are idle: the flag that Go requires is added just after the handler.
///
/// The handler stays for the life of the process. Call it within tokio's runtime; elsewhere tokio panics.
///
/// # Errors
/// The system does not accept the handler.
pub(crate) fn receive(kind: SignalKind) -> io::Result<Signal> {
    #[allow(clippy::disallowed_methods, reason = "the next statement adds the flag")]
    let signal = tokio::signal::unix::signal(kind)?;
    #[cfg(feature = "tailnet")]
    crate::tsnet::use_signal_stack(kind)?;
    Ok(signal)
}
