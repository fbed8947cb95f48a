# shellcheck shell=bash
# What the scripts here share. To be sourced, after `root` is set.

# shellcheck source-path=SCRIPTDIR source=../tests/ollama/lib.sh
. "${root:?}/tests/ollama/lib.sh"

# Pinned and kept out of PATH: another version may know other keys of deny.toml and Cargo.toml.
cargo_deny=$cache_root/tools/cargo-deny-0.20.2/bin/cargo-deny
cargo_deb=$cache_root/tools/cargo-deb-3.8.0/bin/cargo-deb
export cargo_deny cargo_deb

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
