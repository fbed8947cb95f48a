//! What the owner wants: read as it stands ([`raw`]), then checked as a whole ([`checked`]), so
//! that every value that leaves here is valid and every fault is told at once.

mod checked;
mod fault;
mod file;
mod raw;
mod secret;

pub use checked::{Config, Http, Log, LogFormat, NodeConfig};
pub use fault::{Fault, Faults};
pub use file::{Overrides, default_path, load};
pub use secret::Secret;
