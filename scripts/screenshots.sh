#!/usr/bin/env bash
# Makes docs/pictures/page-*.png with the test of the page in a headless Chromium; `make screenshots` calls it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

PICTURES=$root/docs/pictures run cargo test --locked --test page pictures::
python3 scripts/shrink-png.py docs/pictures/page-*.png
for picture in docs/pictures/page-*.png; do
  [ "$(wc -c <"$picture")" -lt 150000 ] || die "$picture is too large for a document: want less than 150 KB"
done
