#!/usr/bin/env bash
# Prints the path of axe-core's script, which it installs in the shared cache: install.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../ollama/lib.sh
. "$here/../../ollama/lib.sh"

need npm "install it with Node.js; on Debian and Ubuntu: apt-get install npm"

lock
folder=$cache_root/axe-$(cksum <"$here/package-lock.json" | cut -d ' ' -f 1)
if [ ! -e "$folder/complete" ]; then
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$here/package.json" "$here/package-lock.json" "$folder/"
  step "Installing the Node packages of page/axe" "$folder/npm.log" \
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-update-notifier
  : >"$folder/complete"
fi
unlock
printf '%s\n' "$folder/node_modules/axe-core/axe.min.js"
