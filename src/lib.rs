//! Your own Ollama, reachable inside your tailnet by exactly the peers you chose, for exactly the requests you allowed.
//! ARCHITECTURE.md describes the modules.

pub mod acl;
pub mod admin;
pub mod admission;
pub mod audit;
pub mod auth;
pub mod awake;
pub mod cli;
pub mod config;
mod control;
pub mod doctor;
pub mod events;
pub mod history;
mod json;
pub mod listen;
pub mod ollama;
pub mod page;
pub mod panics;
pub mod peer;
pub mod policy;
pub mod preload;
mod process_group;
pub mod proxy;
pub mod rotated;
#[cfg(feature = "tailnet")]
pub mod run;
pub mod secret;
pub mod service;
pub mod settings;
mod signals;
pub mod sink;
mod stored;
pub mod sweeper;
pub mod tailnet;
mod time;
pub mod tls;
#[cfg(feature = "tailnet")]
pub mod tsnet;
pub mod usage;
