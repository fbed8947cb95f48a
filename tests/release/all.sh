#!/usr/bin/env bash
# Tests target/dist, which `make release` has made; `make test-release` calls it. As root, on Debian or Ubuntu.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../scripts/tools.sh
. "$root/scripts/tools.sh"
cd "$root"

attempt run scripts/test-artifact.sh
attempt run tests/release/contents.py target/dist
attempt run tests/release/roots.sh
attempt run tests/release/systemd.sh
attempt run tests/release/same.sh
report_attempts
