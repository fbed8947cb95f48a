#!/usr/bin/env bash
# Fuzzes the readers of peers' bytes, of grants and of the config: builds the targets in fuzz/ and runs them with
# libFuzzer. Fails on the first input that breaks a promise, and leaves that input in fuzz/artifacts/TARGET/.
#
#   scripts/fuzz.sh                            replays every input, then tries new ones for about a minute
#   scripts/fuzz.sh long [TARGET] [SECONDS]    fuzzes one target, or each, for SECONDS (600), and keeps finds in the cache
#   scripts/fuzz.sh seeds                      rebuilds fuzz/seeds.tar.gz from itself and the finds in the cache
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root/fuzz"

# Executions in the bounded run: about eight seconds each on a slow core. `route` and `model` ask another process each time.
targets="target:400000 framing:300000 headers:300000 grants:400000 config:40000 access_log:60000 route:80000 model:80000 tokens:300000"

finds=$cache_root/fuzz # what long runs find, for all clones

main() {
  case ${1:-} in
    '')
      [ $# -eq 0 ] || usage
      prepare
      run cargo clippy --locked --release --quiet -- --deny warnings
      bounded
      ;;
    long)
      shift
      parse "$@"
      prepare
      long
      ;;
    seeds)
      [ $# -eq 1 ] || usage
      prepare
      pack
      ;;
    *) usage ;;
  esac
}

usage() {
  say "usage: fuzz.sh [long [TARGET] [SECONDS] | seeds]"
  exit 2
}

parse() {
  local argument
  only='' seconds=600
  for argument in "$@"; do
    case $argument in
      *[!0-9]*) only=$argument ;;
      ?*) seconds=$argument ;;
    esac
  done
  [ -z "$only" ] || [ -d "corpus/$only" ] || usage
}

prepare() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/seeds"
  tar -xzf seeds.tar.gz -C "$work/seeds"
  build
}

# Stable Rust has all that libFuzzer needs except a flag of its own: an LLVM pass that counts edges and reports
# comparisons. With the host named as the target, the flags do not apply to build scripts.
build() {
  local host flags flag
  host=$(rustc -vV | sed -n 's/^host: //p')
  flags="-Cpasses=sancov-module"
  for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$flag"
  done
  export RUSTFLAGS=$flags CARGO_BUILD_TARGET=$host CARGO_TARGET_DIR=target
  run cargo build --locked --release --quiet
  # Built here, so that the first run of a target does not wait for Go's compiler.
  (cd oracle && go build -tags nomsgpack -o /dev/null .)
  bin=$root/fuzz/target/$host/release
}

bounded() {
  local entry target
  for entry in $targets; do
    target=${entry%:*}
    # With a fixed seed, the same build gives much the same inputs; temporary paths are a part of some.
    fuzz "$target" "$work/new/$target" -runs="${entry#*:}" -seed=1
    row "$target" "$executions" "$(edges "$target")" "$(edges "$target" "$work/seeds/$target")"
  done
  print_table executions 'edges: named' 'with seeds'
}

long() {
  local entry target
  for entry in $targets; do
    target=${entry%:*}
    [ -z "$only" ] || [ "$only" = "$target" ] || continue
    fuzz "$target" "$finds/$target" -max_total_time="$seconds"
    distil "$target" "$work/distilled/$target" "$work/seeds/$target" "$finds/$target"
    rm -rf "${finds:?}/$target"
    mv "$work/distilled/$target" "$finds/$target"
    row "$target" "$executions" "$(edges "$target")" "$(edges "$target" "$finds/$target")"
  done
  print_table executions 'edges: named' 'with finds'
}

pack() {
  local entry target
  for entry in $targets; do
    target=${entry%:*}
    mkdir -p "$finds/$target"
    distil "$target" "$work/packed/$target" "$work/seeds/$target" "$finds/$target"
    row "$target" "$(($(find "$work/packed/$target" -type f | wc -l)))" "$(edges "$target")" \
      "$(edges "$target" "$work/packed/$target")"
  done
  tar -czf seeds.tar.gz -C "$work/packed" .
  print_table seeds 'edges: named' 'with seeds'
}

# named TARGET: prints the folders of its named inputs. The config's fixtures are inputs, too.
named() {
  printf '%s\n' "corpus/$1"
  [ "$1" != config ] || printf '%s\n' ../tests/config/valid ../tests/config/invalid
}

# fuzz TARGET FOLDER ARGUMENT...: runs a target on all of its inputs; writes new finds to FOLDER; sets `executions`.
fuzz() {
  local target=$1 folder=$2
  shift 2
  mkdir -p "artifacts/$target" "$folder" "$work/seeds/$target"
  say "+ $target $*"
  # shellcheck disable=SC2046 # a list of folders
  if ! "$bin/$target" "$@" -artifact_prefix="artifacts/$target/" -timeout=10 -print_final_stats=1 -verbosity=0 \
    "$folder" "$work/seeds/$target" $(named "$target") >"$work/log" 2>&1; then
    cat "$work/log" >&2
    die "$target: the input that broke it is in fuzz/artifacts/$target/; run it alone with $bin/$target FILE"
  fi
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
}

# distil TARGET TO FROM...: makes folder TO of the inputs in FROM that reach code which neither the named inputs nor each
# other reach, cut to 512 bytes.
distil() {
  local target=$1 to=$2 known=$work/known folder
  shift 2
  rm -rf "$known" "$to"
  mkdir -p "$known" "$to"
  for folder in $(named "$target"); do cp "$folder"/* "$known"; done
  (cd "$known" && ls) >"$work/names"
  "$bin/$target" -set_cover_merge=1 -use_counters=0 -max_len=512 "$known" "$@" >"$work/log" 2>&1 ||
    die "$target: $(tail -n 5 "$work/log")"
  (cd "$known" && xargs rm <"$work/names")
  find "$known" -type f -exec mv {} "$to" \;
}

# edges TARGET [FOLDER]: prints how many edges of the code the named inputs reach, together with those in FOLDER.
edges() {
  # shellcheck disable=SC2046 # a list of folders
  "$bin/$1" -runs=0 $(named "$1") ${2:+"$2"} 2>&1 | sed -n 's/.*INITED cov: \([0-9]*\) .*/\1/p'
}

table=
row() { table+=$(printf '%-12s %12s %14s %12s' "$@")$'\n'; }

print_table() { printf '%-12s %12s %14s %12s\n%s' target "$@" "$table"; }

main "$@"
