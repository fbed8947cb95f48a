#!/usr/bin/env bash
# Runs every suite once; `make test` calls it. The slower runs are in scripts/thorough.sh. After a failure the other
# suites still run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

# Prepared before the tests, so that none of them times out over it.
run tests/ollama/ollama.sh models
within tests/tailnet go build ./...

attempt run cargo test --locked --no-fail-fast
# Without GRO: it mixes up incoming packets when several nodes share one process, as they do in these tests only. See
# tests/tailnet/clients/gro.go.
attempt within vendor/libtailscale go test -tags ts_omit_gro -timeout 30m ./...
attempt within tests/tailnet go test -timeout 30m ./...
report_attempts
