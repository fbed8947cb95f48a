//! The control server that a policy file is for.

use std::fmt;

/// The control server that reads the file. Others accept more than Tailscale's, and read some parts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControlServer {
    /// Tailscale's.
    #[default]
    Tailscale,
    /// Another one. The file is checked by the rules of Headscale 0.29.2.
    Other,
}

impl ControlServer {
    /// Runs a check of what Headscale refuses and Tailscale does not.
    pub(super) fn check_dialect(
        self,
        refuses: fn(&str) -> Result<(), String>,
        text: &str,
    ) -> Result<(), String> {
        match self {
            ControlServer::Tailscale => Ok(()),
            ControlServer::Other => refuses(text),
        }
    }

    /// Who runs the file's `sshTests`.
    pub(super) fn runs_ssh_tests(self) -> &'static str {
        match self {
            ControlServer::Tailscale => "Tailscale runs them when the file is saved",
            ControlServer::Other => {
                "`headscale policy check` runs them, and refuses the file if a name in them has no device"
            }
        }
    }
}

impl fmt::Display for ControlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ControlServer::Tailscale => "Tailscale",
            ControlServer::Other => "Headscale",
        })
    }
}
