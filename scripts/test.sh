#!/usr/bin/env bash
# All tests; `make test` calls it. What they need is set up by then.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

# The node twice: the race detector finds races and falsifies memory figures.
within vendor/libtailscale go test -race -timeout 30m ./node/...
within vendor/libtailscale go test -timeout 30m ./...
within tests/tailnet go test -race -timeout 30m ./...

run cargo test --locked --no-default-features

# Beforehand, so that no test's time runs out over it.
run tests/ollama/ollama.sh models
within tests/tailnet go build ./...
run cargo test --locked
