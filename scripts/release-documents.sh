#!/usr/bin/env bash
# Copies the documents, examples and services of a release's archive into a folder; release.sh calls it. They are the files that git knows:
# editors and systems leave other files in these folders, which no other clone has.
#
#   scripts/release-documents.sh TO            of this clone
#   scripts/release-documents.sh TO FOLDER     of another clone
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"

[ $# -ge 1 ] || die "usage: release-documents.sh TO [FOLDER]"
[ -d "$1" ] || die "$1: is no folder"
to=$(cd "$1" && pwd)
cd "${2:-$root}"

git ls-files -z -- ':(glob)*.md' ':(glob)LICENSE-*' config.example.toml docs acl launchd systemd packaging/events packaging/grafana |
  while IFS= read -r -d '' file; do
    mkdir -p "$to/$(dirname "$file")"
    cp "$file" "$to/$file"
  done
