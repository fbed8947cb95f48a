#!/usr/bin/env bash
# Runs what `make test` leaves out for time; `make thorough` calls it, and CI runs it after `make test`. After a failure
# the other suites still run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

run tests/ollama/ollama.sh models
within tests/tailnet go build ./...
within tests/headscale go build -o /dev/null github.com/juanfont/headscale/cmd/headscale

# The race detector falsifies memory figures, so `make test` runs these without it. scripts/test.sh says why the tag.
attempt within vendor/libtailscale go test -tags ts_omit_gro -race -timeout 30m ./node/...
attempt within tests/tailnet go test -race -timeout 30m ./...
# The tests that a build without the node changes. `make check` compiles the others.
attempt run cargo test --locked --no-fail-fast --no-default-features --lib --bins --test config
attempt run cargo test --locked --no-fail-fast --test headscale
# Unlike `make torture`, with the debug build that is there, and no measured time fails it.
attempt run cargo test --locked --no-fail-fast --test torture
attempt run scripts/msrv.sh
report_attempts
