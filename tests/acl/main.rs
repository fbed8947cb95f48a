//! The evaluation of policy files: by tables, mutations of the sample and arbitrary input, and against a second
//! implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod admits;
mod arbitrary;
mod command;
mod dialect;
// The second implementation is in Go, like the tailnet.
#[cfg(feature = "tailnet")]
mod differential;
mod expectations;
mod faults;
#[cfg(feature = "tailnet")]
mod generated;
#[cfg(feature = "tailnet")]
#[path = "../../build/go.rs"]
mod go;
mod headscale;
mod reach;
mod sample;
