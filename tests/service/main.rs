//! `service`, through the real binary: the files that it writes, read by the managers' own readers, and what it asks of
//! the managers, which stand-ins write down. Nobody's services are touched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod install;
mod launchd;
mod person;
mod plists;
mod systemd;
#[cfg(target_os = "linux")]
mod units;
