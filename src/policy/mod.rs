//! What may be asked: a pure decision over a peer and a request's head. No clock, file or socket.
//!
//! Everything is refused unless a rule lets it through. [`decide`](Policy::decide) is the only
//! maker of a [`Permit`], and only a `Permit` can be forwarded.

mod decide;
mod endpoint;
mod framing;
mod grants;
mod host;
mod target;

pub use decide::{Permit, Policy, Refusal};
pub use endpoint::{Dialect, Endpoint, EndpointSet, MANAGEMENT, Management};
pub use framing::{Fault, Framing, HEAD_MAX, Place};
pub use grants::{Access, Grant, Priority, Rights};
pub use host::Hosts;
pub use target::{Target, TargetFault};
