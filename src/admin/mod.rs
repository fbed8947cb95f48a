//! The running proxy's own interface: HTTP over a Unix socket that only this account can open.

mod answer;
mod client;
mod reload;
mod requests;
mod server;
mod status;
mod who;

pub use answer::Admin;
pub use client::{AskFault, ask, path};
pub use reload::Reload;
pub use requests::{Cancelled, Request, Requests, State};
pub use server::AdminSocket;
pub use status::{Most, NotReady, Status, StatusPeer, What};
pub(crate) use who::Rosters;
pub use who::{Who, WhoPeer};
