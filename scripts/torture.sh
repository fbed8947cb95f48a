#!/usr/bin/env bash
# Runs tests/torture, which measures attacks, overload and failures, with an optimized proxy, and prints the figures in one
# table. `make torture` calls it. Fails if a test fails or a figure misses its goal.
#
#   scripts/torture.sh [TEST]    all tests, or those whose name contains TEST
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

figures=$root/target/torture.jsonl
mkdir -p target
: >"$figures"
run tests/ollama/ollama.sh models
status=0
run env FIGURES="$figures" cargo test --locked --release --no-fail-fast --test torture -- "$@" || status=1

python3 - "$figures" <<'PYTHON' || status=1
import json, platform, os, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
if not rows:
    sys.exit("torture.sh: no figures: does the name of any test contain that word?")
print(f"\n{platform.system()} {platform.machine()}, {os.cpu_count()} cores")
part = None
for row in rows:
    if row["part"] != part:
        part = row["part"]
        print(f"\n{part}")
    value = f"{row['value']:,.3f}".rstrip("0").rstrip(".")
    mark = "" if row["holds"] else "   <-- MISSED"
    print(f"  {row['what']:<76} {value:>12} {row['unit']:<6} {row['meant']}{mark}")
sys.exit(not all(row["holds"] for row in rows))
PYTHON
exit "$status"
