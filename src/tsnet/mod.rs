//! A tailnet node inside this process: the safe async interface to vendor/libtailscale.
//!
//! [`Builder`] → [`Node`] → [`Node::up`] → [`Node::listen`] → [`Listener`] → [`PeerConn`].
//! Addresses and listeners exist in the tailnet only; the operating system sees none of them.

mod builder;
mod certificate;
mod conn;
mod error;
mod event;
mod ffi;
mod identity;
mod listener;
mod log;
mod netmap;
mod node;
mod ready;
mod status;

pub use builder::Builder;
pub use certificate::Certificate;
pub use conn::{Aborter, Conn};
pub use error::Error;
pub use event::{Event, Events};
pub(crate) use ffi::{forget_credentials, use_signal_stack};
pub use listener::{Listener, PeerConn};
pub use node::{LogoutResult, Node};
pub use status::Status;
