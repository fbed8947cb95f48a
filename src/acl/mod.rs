//! Which devices a tailnet policy file lets connect to this node, evaluated from the file alone.
//!
//! Pure: text in, answers out. [`parse`] reads the file, [`PolicyFile::failures`] runs the file's own tests, and
//! [`PolicyFile::reach`] lists the sources that can connect. If the file alone does not decide (device postures, roles,
//! addresses), the answer is [`Answer::Perhaps`] with the reason, never a guess.
//!
//! Source: Tailscale documentation, "Syntax reference for the tailnet policy file" and "Grants
//! syntax".

mod answer;
mod block;
mod control_server;
mod device;
mod expectation;
mod failure;
mod fault;
mod headscale;
mod hujson;
mod ipset;
mod lines;
mod names;
mod origin;
mod policy;
mod reach;
mod read;
mod report;
mod resolve;
mod review;
mod rights;
mod rule;
mod sections;
mod selector;
mod traffic;
mod warning;

pub use answer::Answer;
pub use control_server::ControlServer;
pub use device::{Addresses, Device};
pub use failure::{Failure, TestVerdict};
pub use fault::{FileFault, FileFaults};
pub use lines::{Lines, lines};
pub use origin::Origin;
pub use policy::{PolicyFile, parse, parse_for};
pub use report::{Capability, Reach, Report, Target};
pub use rights::MergedRights;
pub use traffic::TCP;
pub use warning::{Warning, WarningKind};
