//! `service`, through the real binary: the written files, read by the managers' own parsers, and the calls to the
//! managers, which stand-ins record. The user's services are not touched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod install;
mod launchd;
mod person;
mod plists;
mod systemd;
#[cfg(target_os = "linux")]
mod units;
