#!/usr/bin/env bash
# Fuzzes what reads a peer's bytes, the grants and the config: builds the targets in fuzz/ and runs them with libFuzzer.
# Fails on the first input that breaks a promise, which is then in fuzz/artifacts/TARGET/.
#
#   scripts/fuzz.sh                            every input of the corpora, and so many new ones that it takes a minute
#   scripts/fuzz.sh long [TARGET] [SECONDS]    all targets or one, each for so long (600 s), and keeps new finds in the corpus
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root/fuzz"

# Executions in the bounded run: about eight seconds each on a slow core. `route` and `model` ask another process each time.
targets="target:400000 framing:300000 headers:300000 grants:400000 config:40000 access_log:60000 route:80000 model:80000 tokens:300000"

usage() {
  say "usage: fuzz.sh [long [TARGET] [SECONDS]]"
  exit 2
}

# Stable Rust has all that libFuzzer needs but for the name: a pass of LLVM that counts edges and reports comparisons.
# The host is named as the target, since the flags then leave build scripts alone.
build() {
  local host flags flag
  host=$(rustc -vV | sed -n 's/^host: //p')
  flags="-Cpasses=sancov-module"
  for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$flag"
  done
  export RUSTFLAGS=$flags CARGO_BUILD_TARGET=$host CARGO_TARGET_DIR=target
  run cargo build --locked --release --quiet
  # Beforehand, so that the target's first run does not wait for Go's compiler.
  (cd oracle && go build -tags nomsgpack -o /dev/null .)
  bin=$root/fuzz/target/$host/release
}

# fuzz TARGET FOLDER ARGUMENT...: runs a target on its corpus; what it finds goes to FOLDER.
fuzz() {
  local target=$1 folder=$2
  shift 2
  mkdir -p "artifacts/$target" "$folder"
  say "+ $target $*"
  if ! "$bin/$target" "$@" -artifact_prefix="artifacts/$target/" -timeout=10 -print_final_stats=1 -verbosity=0 \
    "$folder" "corpus/$target" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    die "$target: the input that broke it is in fuzz/artifacts/$target/; run it alone with $bin/$target FILE"
  fi
  row "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")"
}

table=
row() { table+=$(printf '%-12s %12s' "$1" "$2")$'\n'; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${1:-} in
  '')
    [ $# -eq 0 ] || usage
    build
    run cargo clippy --locked --release --quiet -- --deny warnings
    for entry in $targets; do
      # The seed is fixed so that the same code gives the same result; the long run is for finding things.
      fuzz "${entry%:*}" "$work/${entry%:*}" -runs="${entry#*:}" -seed=1
    done
    ;;
  long)
    only='' seconds=600
    for argument in "${@:2}"; do
      case $argument in
        *[!0-9]*) only=$argument ;;
        ?*) seconds=$argument ;;
      esac
    done
    [ -z "$only" ] || [ -d "corpus/$only" ] || usage
    build
    for entry in $targets; do
      target=${entry%:*}
      [ -z "$only" ] || [ "$only" = "$target" ] || continue
      fuzz "$target" "$work/$target" -max_total_time="$seconds"
      # Of the finds only those that reach code which no other does, cut short.
      "$bin/$target" -set_cover_merge=1 -use_counters=0 -max_len=512 "corpus/$target" "$work/$target" \
        >"$work/log" 2>&1 || die "$target: $(tail -n 5 "$work/log")"
    done
    ;;
  *) usage ;;
esac
printf '%-12s %12s\n%s' target executions "$table"
