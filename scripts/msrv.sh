#!/usr/bin/env bash
# Builds everything with the oldest Rust that Cargo.toml names, and runs the unit tests; `make thorough` and CI call it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

need rustup "it installs the oldest supported Rust: https://rustup.rs"
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
rustup run "$oldest" rustc --version >/dev/null 2>&1 || run rustup toolchain install --profile minimal "$oldest"

# A folder of its own: the programs in target/ stay those of the usual Rust.
export CARGO_TARGET_DIR=$root/target/msrv
run cargo "+$oldest" test --locked --all-targets --no-run
run cargo "+$oldest" test --locked --lib --bins
within fuzz cargo "+$oldest" check --locked
say "built with $(rustup run "$oldest" rustc --version)"
