//! What the proxy holds out against, measured: the real binary in a real tailnet in front of a real
//! Ollama, under attack, overload and failure.
//!
//! A test here fails where something is lost, mixed up, leaked or left hanging. How long things take
//! depends on the machine, so times fail nothing here: they are figures, which `make torture` prints
//! in one table beside what they are meant to be.
#![cfg(feature = "tailnet")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "tests/support is shared with tests/e2e")]

mod cancel;
mod churn;
mod counter;
mod drain;
mod fairness;
mod faults;
mod figures;
#[path = "../support/held.rs"]
mod held;
#[path = "../support/http.rs"]
mod http;
mod matrix;
#[path = "../support/ollama.rs"]
mod ollama;
#[path = "../support/process.rs"]
mod process;
mod readers;
mod restart;
#[path = "../support/routes.rs"]
mod routes;
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
