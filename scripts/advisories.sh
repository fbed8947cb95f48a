#!/usr/bin/env bash
# Looks up known vulnerabilities of the dependencies. It is not part of `make check`, since it needs databases on the
# internet and its result changes without a change here.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0

scripts/setup.sh check
tags=$(paste -s -d , vendor/libtailscale/build-tags.txt)
status=0
run "$cargo_deny" check advisories || status=1
within vendor/libtailscale go run "$govulncheck" -tags "$tags" ./... || status=1
exit "$status"
