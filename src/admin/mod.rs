//! The running proxy's own interface: HTTP over a Unix socket that only this account can open.

mod answer;
mod ollama;
mod reload;
mod requests;
mod serve;
mod socket;
mod status;
mod who;

pub use answer::Admin;
pub use ollama::{Model, Ollama, cloud_is_off, version};
pub use reload::Reload;
pub use requests::{Cancelled, Request, Requests, State};
pub use serve::AdminSocket;
pub use socket::{AskFault, ask, path};
pub use status::{Most, NotReady, Status, StatusPeer, What};
pub(crate) use who::MembersByPort;
pub use who::{Who, WhoPeer};
