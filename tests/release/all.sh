#!/usr/bin/env bash
# Tests target/dist, which `make release` has made; `make test-release` calls it.
#
#   tests/release/all.sh          all of it, as root, on Debian or Ubuntu
#   tests/release/all.sh quick    what needs neither root nor a second build: CI does this
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../scripts/tools.sh
. "$root/scripts/tools.sh"
cd "$root"

attempt run scripts/test-artifact.sh
attempt run tests/release/contents.py target/dist
if [ "${1:-}" != quick ]; then
  attempt run tests/release/roots.sh
  attempt run tests/release/systemd.sh
  attempt run tests/release/image.sh
  attempt run tests/release/aarch64.sh
  attempt run tests/release/same.sh
fi
report_attempts
