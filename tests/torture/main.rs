//! The proxy under attack, overload and failure, measured: the real binary in a real tailnet in front of a real
//! Ollama.
//!
//! A test fails if something is lost, mixed up, leaked or left hanging. Times depend on the machine, so no time fails
//! a test: times are figures, which `make torture` prints in one table with their goals.
#![cfg(feature = "tailnet")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "tests/support is shared with tests/e2e")]

mod cancel;
mod churn;
mod counter;
mod departed;
mod drain;
mod fairness;
mod faults;
mod figures;
#[path = "../../build/go.rs"]
mod go;
#[path = "../support/held.rs"]
mod held;
#[path = "../support/http.rs"]
mod http;
mod matrix;
#[path = "../support/ollama.rs"]
mod ollama;
#[path = "../support/ollama_routes.rs"]
mod ollama_routes;
#[path = "../support/process.rs"]
mod process;
mod readers;
mod restart;
#[path = "../support/routes.rs"]
mod routes;
mod signals;
mod slow;
mod soak;
#[path = "../support/spellings.rs"]
mod spellings;
#[path = "../support/standin.rs"]
mod standin;
#[path = "../support/swarm.rs"]
mod swarm;
#[path = "../support/tailnet.rs"]
mod tailnet;
mod tailnet_faults;
mod ticker;
#[path = "../support/toxiproxy.rs"]
mod toxiproxy;
