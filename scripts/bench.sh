#!/usr/bin/env bash
# Builds the proxy and what it is measured beside, and measures them on a tailnet of their own; `make bench` calls it.
# What it measures and how is in docs/performance.md.
#
#   scripts/bench.sh [rounds=3] [only=ours,raw] [parts=speed,memory,growth,profile] [what=streams] [against=PROGRAM] [write=1]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"
[ "$(uname -s)" = Linux ] || die "what processes take is read from /proc, which only Linux has: run make bench there"

rounds=3 only='' parts='' what='' against='' write=''
for word in "$@"; do
  case $word in
    rounds=* | only=* | parts=* | what=* | against=* | write=*) declare "${word%%=*}=${word#*=}" ;;
    *) die "bench.sh: $word is none of rounds=, only=, parts=, what=, against= and write=" ;;
  esac
done

for part in ${parts//,/ }; do
  case $part in
    speed | memory | growth | profile) ;;
    *) die "bench.sh: parts=$part is none of speed, memory, growth and profile" ;;
  esac
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "bench.sh: rounds=$rounds: want a number, 1 or more"
if [ -n "$write" ] && { [ -n "$only$what" ] || [ "$rounds" -lt 3 ]; }; then
  die "bench.sh: write=1 writes whole parts: leave only= and what= out, and have 3 rounds"
fi

bin=$root/target/bench/bin
target=${CARGO_TARGET_DIR:-$root/target}
# Another run's: what can't be built now is not to be taken for what is there.
rm -rf "$bin"
mkdir -p "$bin"

# wanted NAME: whether that contestant is to be measured.
wanted() { [ -z "$only" ] || [[ ,$only, == *,$1,* ]]; }

# What is built of Go has the same parts of tailscale left out as the proxy.
tags=$(paste -s -d , vendor/libtailscale/build-tags.txt)
go_build() { within "$1" go build -trimpath -ldflags "-s -w" -tags "$tags" -o "$bin/" "${@:2}"; }

# peer NAME COMMAND...: builds what is not of this repository. Without it the others are measured.
peer() {
  wanted "$1" || return 0
  "${@:2}" || say "$1 can't be built here and is left out"
}

rust_peer() {
  # The crate takes no flags for the Go that it builds, but Go looks here. The target folder is the proxy's: they
  # have most crates in common.
  run env GOFLAGS="${GOFLAGS:-} -tags=$tags" \
    cargo build --manifest-path benches/peers/Cargo.toml --target-dir "$target" --release --package "$1" &&
    cp "$target/release/$1" "$bin/"
}

go_build benches . ./upstream ./contestants/rawforward ./contestants/reverseproxy
if wanted ours; then
  run cargo build --locked --release
  cp "$target/release/remote-ollama-proxy" "$bin/"
fi
if wanted ours && { [ -z "$parts" ] || [[ ,$parts, == *,profile,* ]]; }; then
  # With names for perf to tell.
  if command -v perf >/dev/null; then
    say "for the profile the proxy is compiled once more, in some minutes, if it has changed"
    run cargo build --locked --profile profiling
    cp "$target/profiling/remote-ollama-proxy" "$bin/profiled"
  else
    say "perf (Debian's linux-perf) is not here, so there is no profile"
  fi
fi
[ -z "$against" ] || cp "$against" "$bin/before"
if wanted bare; then rust_peer bare; fi
peer libtailscale rust_peer libtailscale
peer caddy go_build benches/peers/caddy-tailscale github.com/tailscale/caddy-tailscale/cmd/caddy
peer tsnsrv go_build benches/peers/tsnsrv github.com/boinkor-net/tsnsrv/cmd/tsnsrv
if haproxy=$(PATH=$PATH:/usr/sbin command -v haproxy); then ln -s "$haproxy" "$bin/haproxy"; fi

arguments=(-bin "$bin" -rounds "$rounds" -only "$only" -parts "$parts" -what "$what" -json "$root/target/bench.json")
[ -z "$write" ] || arguments+=(-document "$root/docs/performance.md")
run "$bin/benches" "${arguments[@]}"
