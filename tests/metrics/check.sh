#!/usr/bin/env bash
# Checks metrics on standard input with the parsers of Prometheus' own client, which is installed in the shared cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../ollama/lib.sh
. "$here/../ollama/lib.sh"

lock
python=$(venv "$here/requirements.txt")
unlock

exec "$python" "$here/check.py"
