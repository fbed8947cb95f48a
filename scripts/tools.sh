# shellcheck shell=bash
# What the scripts here share. To be sourced, after `root` is set.

# shellcheck source-path=SCRIPTDIR source=../tests/ollama/lib.sh
. "${root:?}/tests/ollama/lib.sh"

# cargo-deny is pinned and kept out of PATH: another version may know other keys of deny.toml.
cargo_deny_version=0.20.2
cargo_deny=$cache_root/tools/cargo-deny-$cargo_deny_version/bin/cargo-deny
export cargo_deny cargo_deny_version

# run COMMAND...: shows the command, then runs it.
run() {
  say "+ $*"
  "$@"
}

# within FOLDER COMMAND...: the same in a folder of the repository.
within() {
  local folder=$1
  shift
  say "+ (in $folder) $*"
  (cd "$root/$folder" && "$@")
}

# scripts: names every shell script of the repository.
scripts() {
  git -C "$root" ls-files | grep -E '\.sh$|^\.ci/run$'
}
