#!/usr/bin/env bash
# Builds the proxy and what it is measured beside, and measures them on a tailnet of their own; `make bench` calls it.
# What it measures and how is in docs/performance.md.
#
#   scripts/bench.sh [rounds=3] [only=ours,raw] [parts=speed,memory,growth] [against=PROGRAM] [write=1]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"
[ "$(uname -s)" = Linux ] || die "what processes take is read from /proc, which only Linux has: run make bench there"

# shellcheck disable=SC2034 # write is for later
rounds=3 only='' parts='' against='' write=''
for word in "$@"; do
  case $word in
    rounds=* | only=* | parts=* | against=* | write=*) declare "${word%%=*}=${word#*=}" ;;
    *) die "bench.sh: $word is none of rounds=, only=, parts=, against= and write=" ;;
  esac
done

bin=$root/target/bench/bin
mkdir -p "$bin"
rm -f "$bin/before"

# wanted NAME: whether that contestant is to be measured.
wanted() { [ -z "$only" ] || [[ ",$only," == *",$1,"* ]]; }

# What is built of Go has the same parts of tailscale left out as the proxy.
tags=$(paste -s -d , vendor/libtailscale/build-tags.txt)
go_build() { within "$1" go build -trimpath -ldflags "-s -w" -tags "$tags" -o "$bin/" "${@:2}"; }

if wanted ours; then
  run cargo build --locked --release
  cp "${CARGO_TARGET_DIR:-target}/release/remote-ollama-proxy" "$bin/"
fi
[ -z "$against" ] || cp "$against" "$bin/before"
go_build benches . ./upstream ./contestants/rawforward ./contestants/reverseproxy

run "$bin/benches" -bin "$bin" -rounds "$rounds" -only "$only" -parts "$parts"
