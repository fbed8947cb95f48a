//! Code that the fuzz targets share.

mod head;
mod oracle;

pub use head::{HOSTS, Head, policy, rights};
pub use oracle::Oracle;
