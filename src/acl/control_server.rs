//! The control server that a policy file is for.

/// The control server that reads the file. Others accept more than Tailscale's, and read some parts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControlServer {
    /// Tailscale's.
    #[default]
    Tailscale,
    /// Another one, such as Headscale.
    Other,
}
