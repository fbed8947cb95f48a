# shellcheck shell=bash
# Functions that the scripts in this folder share. Set `root`, then source this file.

# shellcheck source-path=SCRIPTDIR source=../tests/ollama/lib.sh
. "${root:?}/tests/ollama/lib.sh"

# Pinned, and not looked up in PATH: other versions accept other keys in deny.toml and Cargo.toml.
cargo_deny=$cache_root/tools/cargo-deny-0.20.2/bin/cargo-deny
cargo_deb=$cache_root/tools/cargo-deb-3.8.0/bin/cargo-deb
cargo_auditable=$cache_root/tools/cargo-auditable-0.7.7/bin/cargo-auditable
actionlint=$cache_root/tools/actionlint-1.7.12/bin/actionlint
export cargo_deny cargo_deb cargo_auditable actionlint

# run COMMAND...: prints the command, then runs it.
run() {
  say "+ $*"
  "$@"
}

# within FOLDER COMMAND...: the same, in a folder of the repository.
within() {
  local folder=$1
  shift
  say "+ (in $folder) $*"
  (cd "$root/$folder" && "$@")
}

# attempt run COMMAND..., attempt within FOLDER COMMAND...: goes on after a failure, which `report_attempts` reports.
failed=()
attempt() { "$@" || failed+=("${*:2}"); }

# report_attempts: ends the script with an error if an attempt failed.
report_attempts() {
  [ "${#failed[@]}" -eq 0 ] || die "failed: $(printf '%s; ' "${failed[@]}")see above"
  say "all tests passed"
}

# scripts: prints the name of every shell script of the repository.
scripts() {
  git -C "$root" ls-files | grep -E '\.sh$|^\.ci/run$'
}
