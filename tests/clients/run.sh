#!/usr/bin/env bash
# Runs the tests of the official Python clients against a proxy: run.sh PROXY_URL [pytest argument]...
# The proxy's Ollama must have the models of tests/ollama. The clients are installed in the shared cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../ollama/lib.sh
. "$here/../ollama/lib.sh"

case ${1:-} in
  http://?* | https://?*) ;;
  *)
    say "usage: run.sh PROXY_URL [pytest argument]...   (PROXY_URL such as http://remote-ollama-proxy:11434, without /v1)"
    exit 2
    ;;
esac
export PROXY_URL=${1%/}
shift

lock
python=$(venv "$here/requirements.txt")
unlock

cd "$here"
exec "$python" -m pytest -p no:cacheprovider "$@"
