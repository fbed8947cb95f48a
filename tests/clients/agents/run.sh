#!/usr/bin/env bash
# Runs the tests here: run.sh --install, or run.sh [pytest argument]... with the variables that tests/e2e/clients.rs sets. The clients are
# installed in the shared cache. Their Node is a Python package too, since they need a newer one than many machines have.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../ollama/lib.sh
. "$here/../../ollama/lib.sh"

# packages BIN: prints the folder with the packages of package-lock.json, installed by the npm in BIN.
packages() {
  local folder
  folder=$cache_root/clients-node-$(cat "$here/package.json" "$here/package-lock.json" | cksum | cut -d ' ' -f 1)
  if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$here/package.json" "$here/package-lock.json" "$folder/"
    # Not `npm ci`: the lock file lacks some packages for other systems, which their registry does not always have.
    step "Installing the Node packages of clients/agents (1.2 GB; about a minute)" "$folder/npm.log" \
      env PATH="$1:$PATH" npm install --prefix "$folder" --no-save --no-audit --no-fund --no-update-notifier
    : >"$folder/complete"
  fi
  printf '%s\n' "$folder"
}

lock
python=$(venv "$here/requirements.txt")
bin=${python%/*}
NODE_PACKAGES=$(packages "$bin")
unlock
[ "${1:-}" != --install ] || exit 0

export NODE_PACKAGES PATH="$bin:$PATH"
cd "$here"
exec "$python" -m pytest -p no:cacheprovider "$@"
