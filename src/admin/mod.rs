//! The running proxy's own interface: HTTP over a Unix socket that only this account can open.

mod reload;
#[cfg(feature = "tailnet")]
mod serve;
mod socket;
mod who;

pub use reload::Reload;
#[cfg(feature = "tailnet")]
pub use serve::Admin;
pub use socket::{AskFault, ask, path};
pub use who::{Who, WhoPeer};
