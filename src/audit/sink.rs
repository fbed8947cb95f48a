//! Whoever wants to know of what is recorded at once, beside the files.

use std::time::SystemTime;

use super::journal::Standing;
use super::metrics::Done;

/// Is told of what is recorded, by whoever records it: it has to be quick, and wait for nothing.
pub trait Watcher: Send + Sync {
    /// A request has ended.
    fn ended(&self, request: &Done<'_>);

    /// The journal has a new line: at `port` somebody is `present` or has `gained`, `changed` or `lost`
    /// access.
    fn access(&self, at: SystemTime, access: &str, port: u16, standing: &Standing);
}
