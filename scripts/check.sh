#!/usr/bin/env bash
# Every check except the tests; `make check` calls it. Fast checks come first.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

run scripts/check-text.sh
say "+ shellcheck of every script"
scripts | xargs shellcheck --external-sources
say "+ property lists"
git ls-files -z '*.plist' | xargs -0 python3 -c 'import plistlib, sys
for name in sys.argv[1:]:
    with open(name, "rb") as f:
        plistlib.load(f)'

run tests/dashboards/check.sh
run ruby -c packaging/homebrew/remote-ollama-proxy.rb
lock
linters=$(venv packaging/requirements.txt)
unlock
run "${linters%/*}/hadolint" packaging/Containerfile
run "$actionlint" -pyflakes=
run "${linters%/*}/zizmor" --offline --quiet --persona pedantic .github

run tests/release/agree.sh
run tests/release/files.sh
run tests/release/install.sh

run cargo fmt --check
within fuzz cargo fmt --check
within benches/peers cargo fmt --all --check
say "+ gofmt -l vendor/libtailscale tests/tailnet tests/toxiproxy fuzz/oracle benches"
unformatted=$(gofmt -l vendor/libtailscale tests/tailnet tests/toxiproxy fuzz/oracle benches)
[ -z "$unformatted" ] || die "these Go files are not formatted; run make fmt: $unformatted"
run "$cargo_deny" check licenses bans sources

within vendor/libtailscale go vet ./...
within tests/tailnet go vet ./...
within tests/toxiproxy go vet ./...
within fuzz/oracle go vet ./...
within benches go vet ./...
within benches go test ./load ./report ./usage
# The files for macOS, as far as they need no C compiler for macOS.
within vendor/libtailscale env GOOS=darwin CGO_ENABLED=0 go vet ./node/...
within tests/tailnet env GOOS=darwin CGO_ENABLED=0 go vet ./...
within tests/toxiproxy env GOOS=darwin CGO_ENABLED=0 go vet ./...
within fuzz/oracle env GOOS=darwin CGO_ENABLED=0 go vet ./...

run cargo clippy --locked --keep-going --all-targets -- --deny warnings
run cargo clippy --locked --keep-going --all-targets --no-default-features -- --deny warnings
run env RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps
run scripts/fuzz.sh
say "all checks passed"
