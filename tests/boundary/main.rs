//! The boundary over in-memory streams: what goes through, what does not, and that nothing is
//! lost, held back or done for nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod access;
mod allowlist;
mod cancel;
mod ends;
mod framing;
mod headers;
#[path = "../support/http.rs"]
mod http;
mod pace;
mod queue;
mod streams;
mod support;
