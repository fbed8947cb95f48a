#!/usr/bin/env bash
# Builds the proxy and those that it is compared with, and measures them in a private tailnet; `make bench` calls it.
# docs/performance.md describes the method.
#
#   scripts/bench.sh [rounds=3] [only=ours,raw] [parts=speed,link,memory,growth,profile] [what=streams] [against=PROGRAM] [write=1]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"
[ "$(uname -s)" = Linux ] || die "the figures of processes come from /proc, which only Linux has: run make bench there"

rounds=3 only='' parts='' what='' against='' write=''
for word in "$@"; do
  case $word in
    rounds=* | only=* | parts=* | what=* | against=* | write=*) declare "${word%%=*}=${word#*=}" ;;
    *) die "bench.sh: $word is none of rounds=, only=, parts=, what=, against= and write=" ;;
  esac
done

for part in ${parts//,/ }; do
  case $part in
    speed | link | memory | growth | profile) ;;
    *) die "bench.sh: parts=$part is none of speed, link, memory, growth and profile" ;;
  esac
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "bench.sh: rounds=$rounds: want a number, 1 or more"
if [ -n "$write" ] && { [ -n "$only$what" ] || [ "$rounds" -lt 3 ]; }; then
  die "bench.sh: write=1 writes whole parts: leave only= and what= out, and have 3 rounds"
fi

bin=$root/target/bench/bin
target=${CARGO_TARGET_DIR:-$root/target}
# Removes the programs of an earlier run: none of them may be measured in place of one that does not build now.
rm -rf "$bin"
mkdir -p "$bin"

# wanted NAME: whether that contestant is to be measured.
wanted() { [ -z "$only" ] || [[ ,$only, == *,$1,* ]]; }

# Go programs leave out the same parts of tailscale as the proxy.
tags=$(paste -s -d , vendor/libtailscale/build-tags.txt)
go_build() { within "$1" go build -trimpath -ldflags "-s -w" -tags "$tags" -o "$bin/" "${@:2}"; }

# peer NAME COMMAND...: builds a program of another repository. If that fails, the others are measured.
peer() {
  wanted "$1" || return 0
  "${@:2}" || say "$1 can't be built here, so it is left out"
}

rust_peer() {
  # The crate accepts no flags for its Go code, but Go reads these variables. It shares the proxy's target folder, since
  # they have most crates in common.
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
  # With symbol names for perf.
  if command -v perf >/dev/null; then
    say "compiling the proxy again for the profile, in some minutes, if it has changed"
    run cargo build --locked --profile profiling
    cp "$target/profiling/remote-ollama-proxy" "$bin/profiled"
  else
    say "perf is missing (Debian's linux-perf), so there is no profile"
  fi
fi
[ -z "$against" ] || cp "$against" "$bin/before"
if wanted bare; then rust_peer bare; fi
peer libtailscale rust_peer libtailscale
peer caddy go_build benches/peers/caddy-tailscale github.com/tailscale/caddy-tailscale/cmd/caddy
peer tsnsrv go_build benches/peers/tsnsrv github.com/boinkor-net/tsnsrv/cmd/tsnsrv
if haproxy=$(PATH=$PATH:/usr/sbin command -v haproxy); then ln -s "$haproxy" "$bin/haproxy"; fi

# A quick look leaves the results alone from which a later write=1 takes the parts that it does not measure.
results=bench.json
if [ -z "$write" ] && { [ -n "$only$parts$what" ] || [ "$rounds" -lt 3 ]; }; then results=bench-part.json; fi
arguments=(-bin "$bin" -rounds "$rounds" -only "$only" -parts "$parts" -what "$what" -json "$root/target/$results")
[ -z "$write" ] || arguments+=(-document "$root/docs/performance.md")
run "$bin/benches" "${arguments[@]}"
