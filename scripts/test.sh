#!/usr/bin/env bash
# All tests; `make test` calls it. What they need is set up by then. A runner that fails does not keep the others from
# telling what they find.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

failed=()
attempt() { "$@" || failed+=("${*:2}"); }

# The node twice: the race detector finds races and falsifies memory figures. Without GRO, which mixes up what comes in
# where several nodes share a process, as they do in these tests only; see tests/tailnet/clients/gro.go.
attempt within vendor/libtailscale go test -tags ts_omit_gro -race -timeout 30m ./node/...
attempt within vendor/libtailscale go test -tags ts_omit_gro -timeout 30m ./...
attempt within tests/tailnet go test -race -timeout 30m ./...

attempt run cargo test --locked --no-fail-fast --no-default-features

# Beforehand, so that no test's time runs out over it.
run tests/ollama/ollama.sh models
within tests/tailnet go build ./...
attempt run cargo test --locked --no-fail-fast

[ "${#failed[@]}" -eq 0 ] || die "failed: $(printf '%s; ' "${failed[@]}")see above"
say "all tests passed"
