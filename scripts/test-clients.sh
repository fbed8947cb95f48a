#!/usr/bin/env bash
# Runs real clients against the proxy: what tests/clients has, and the programs of tests/clients/agents; `make test-clients` calls it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

# Prepared before the tests, so that none of them times out over it.
run tests/ollama/ollama.sh models
run tests/clients/agents/run.sh --install
run cargo test --locked --test e2e --no-run

# One after the other: each client may use both cores.
run cargo test --locked --test e2e clients:: -- --include-ignored --test-threads 1 --nocapture
