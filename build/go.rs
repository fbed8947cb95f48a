//! The command `go`, as build.rs and the tests run it.

use std::env;
use std::process::Command;

/// Lets an older Go download the version that go.mod names, unless the environment variable GOTOOLCHAIN decides. Go's own
/// settings do not count: Debian's Go, for example, comes with GOTOOLCHAIN=local in its file.
pub(crate) fn go() -> Command {
    let mut go = Command::new("go");
    if chosen_toolchain().is_none() {
        go.env("GOTOOLCHAIN", "auto");
    }
    go
}

/// The value of the environment variable. Go ignores an empty one.
pub(crate) fn chosen_toolchain() -> Option<String> {
    env::var("GOTOOLCHAIN").ok().filter(|value| !value.is_empty())
}
