//! What the owner wants: read as it stands (`raw`, `section`), then parsed (`checked`, `parse`), so that every
//! value that leaves here is valid and every fault is told at once.

mod checked;
mod fault;
mod file;
mod listing;
mod parse;
mod raw;
mod section;
mod typed;

pub use checked::{
    AccessConfig, CAPABILITY, Config, HttpConfig, LogConfig, LogFormat, NodeConfig, PlainHttp, Shutdown,
    StartOffline, Withdraw,
};
pub use fault::{ConfigFault, ConfigFaults};
pub use file::{default_path, keys, load};
pub use raw::Override;
