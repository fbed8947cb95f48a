//! The control server that a policy file is for.

use std::fmt;

/// The control server that reads the file. Others accept more than Tailscale's, and read some parts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControlServer {
    /// Tailscale's.
    #[default]
    Tailscale,
    /// Another one. The file is read as Headscale 0.29 reads it.
    Other,
}

impl fmt::Display for ControlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ControlServer::Tailscale => "Tailscale",
            ControlServer::Other => "Headscale",
        })
    }
}
