#!/usr/bin/env bash
# Checks packaging/grafana without a running proxy, in two seconds: names and links, and the alert rules with promtool.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../ollama/lib.sh
. "$here/../ollama/lib.sh"

need promtool "apt-get install prometheus, or on macOS brew install prometheus"
python3 "$here/names.py"
promtool check rules "$here/../../packaging/grafana/alerts.yml"
promtool test rules "$here/alerts.yml"
