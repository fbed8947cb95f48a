//! A tailnet node inside this process: the safe async interface to libtailscale.
//!
//! [`Builder`] → [`Node`] → [`Node::up`] → [`Node::listen`] → [`Listener`] → ([`Conn`], peer).
//! Addresses and listeners exist in the tailnet only; the operating system sees none of them.

mod conn;
mod error;
mod event;
mod ffi;
mod listener;
mod netmap;
mod node;

pub use conn::{Aborter, Conn};
pub use error::Error;
pub use event::{Event, Events};
pub(crate) use ffi::forget_credentials;
pub use listener::Listener;
pub use node::{Builder, Certificate, Farewell, Node, Status};
