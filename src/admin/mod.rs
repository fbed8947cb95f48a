//! The admin socket: the running proxy's own HTTP interface, over a Unix socket that only this account can open.

mod api;
mod client;
mod members;
mod ready;
mod reload;
mod requests;
mod server;
mod status;
mod who;

pub use api::Admin;
pub use client::{AdminError, ask, path};
pub(crate) use members::MembersByPort;
pub use ready::{NotReady, NotReadyCause};
pub use reload::Reload;
pub use requests::{CancelAnswer, ListedRequest, RequestState, Requests};
pub use server::AdminSocket;
pub use status::{Status, StatusLimits, StatusPeer};
pub use who::{Who, WhoPeer, WhoQuota};
