//! The operator's config. `raw`, `section` and `typed` read the file and collect all faults; `parse` checks single
//! values; `read` and `credential` build the checked `Config`, in which every value is valid.

mod checked;
mod credential;
mod events;
mod fault;
mod file;
mod listing;
mod log_file;
mod parse;
mod raw;
mod read;
mod section;
mod typed;

pub use checked::{
    AccessConfig, AccessLogConfig, CAPABILITY, Config, EventsConfig, HttpConfig, LogConfig, LogFormat,
    NodeConfig, PlainHttp, ShutdownConfig, StartOffline, Withdraw,
};
pub use fault::{ConfigFault, ConfigFaults};
pub use file::{default_path, keys, load, load_for_service};
pub(crate) use log_file::real;
pub use raw::Override;
