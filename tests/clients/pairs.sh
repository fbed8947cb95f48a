#!/usr/bin/env bash
# Tests whether six HTTP clients can reuse a connection after an early answer: pairs.sh PROXY_URL COUNT
# Each sends COUNT pairs: a request that is answered before its body arrives, then an ordinary one. Their packages are
# installed in the shared cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../ollama/lib.sh
. "$here/../ollama/lib.sh"

if [ $# -ne 2 ]; then
  say "usage: pairs.sh PROXY_URL COUNT   (PROXY_URL such as http://remote-ollama-proxy:11434, without /v1)"
  exit 2
fi

need node "install Node.js 18 or newer; on Debian and Ubuntu: apt-get install nodejs npm"
need npm "install it with Node.js; on Debian and Ubuntu: apt-get install npm"
need go "install Go"

lock
python=$(venv "$here/requirements.txt")
undici=$cache_root/node-$(cksum <"$here/package.json" | cut -d ' ' -f 1)
if [ ! -e "$undici/complete" ]; then
  rm -rf "$undici"
  mkdir -p "$undici"
  cp "$here/package.json" "$undici/"
  step "Installing the Node packages of clients/package.json" "$undici/npm.log" \
    npm install --prefix "$undici" --ignore-scripts --no-audit --no-fund --no-package-lock
  : >"$undici/complete"
fi
unlock

failed=0
"$python" "$here/pairs.py" "$1" "$2" || failed=1
node "$here/pairs.mjs" "$1" "$2" "$undici" || failed=1
go run "$here/pairs.go" "$1" "$2" || failed=1
exit "$failed"
