//! Code that the fuzz targets share.

#[path = "../../build/go.rs"]
mod go;
mod head;
mod oracle;

pub use head::{HOSTS, Head, policy, rights};
pub use oracle::Oracle;
