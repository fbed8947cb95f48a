#!/usr/bin/env bash
# Builds the release in a clone in another folder, and compares every byte with target/dist.
#
#   tests/release/same.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../scripts/tools.sh
. "$root/scripts/tools.sh"
cd "$root"

[ -s target/dist/SHA256SUMS ] || die "make release first"
[ -z "$(git status --porcelain)" ] || die "the work tree has changes that the clone would lack: commit them first"
dir=$(mktemp -d "${TMPDIR:-/tmp}/remote-ollama-proxy-another-folder.XXXXXX")
trap 'rm -rf "$dir"' EXIT
git clone --quiet . "$dir/clone"
(cd "$dir/clone" && run scripts/release.sh) >&2
ours=$(<target/dist/SHA256SUMS)
# Ours may have files for more targets.
while IFS= read -r sum; do
  grep -qxF -- "$sum" <<<"$ours" || die "another folder gives other bytes: ${sum##* }"
done <"$dir/clone/target/dist/SHA256SUMS"
say "the same bytes from another folder: $(wc -l <"$dir/clone/target/dist/SHA256SUMS") files"
