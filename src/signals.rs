//! Receives signals in a process that also runs Go code. Every handler is installed here; clippy.toml forbids the ways round.

use std::io;

use tokio::signal::unix::{Signal, SignalKind};

/// Receives the signals of this kind from now on, in place of what they do by default. Call it before a tailnet node
/// starts: until this returns, the new handler may run on a stack that is too small for it.
///
/// The handler stays for the life of the process, and libraries that receive the same signal share it.
///
/// # Errors
/// The system does not accept the handler.
pub(crate) fn receive(kind: SignalKind) -> io::Result<Signal> {
    #[allow(clippy::disallowed_methods, reason = "the next statement makes the handler safe for Go")]
    let signal = tokio::signal::unix::signal(kind)?;
    #[cfg(feature = "tailnet")]
    crate::tsnet::use_signal_stack(kind)?;
    Ok(signal)
}
