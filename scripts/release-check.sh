#!/usr/bin/env bash
# Ends with an error unless the tag, Cargo.toml, Cargo.lock and CHANGELOG.md agree on the version. Otherwise it prints the version's section
# of CHANGELOG.md, which becomes the text of the release. The release workflow runs it before anything else.
#
#   scripts/release-check.sh v0.2.0            this clone
#   scripts/release-check.sh v0.2.0 FOLDER     these three files in another folder
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"

[ $# -ge 1 ] || die "usage: release-check.sh TAG [FOLDER]"
tag=$1
cd "${2:-$root}"

[[ $tag =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "$tag: a release's tag is v and three numbers, such as v0.2.0"
version=${tag#v}

# The first line of that form is the package's own.
manifest=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[ "$manifest" = "$version" ] || die "Cargo.toml: the version is $manifest, but the tag is $tag; change one of them"
locked=$(awk -F '"' '/^name = / { name = $2 } /^version = / && name == "remote-ollama-proxy" { print $2 }' Cargo.lock)
[ "$locked" = "$version" ] || die "Cargo.lock: the version is $locked, but the tag is $tag; run cargo update --workspace"

heading=$(grep -E '^## ' CHANGELOG.md | grep -v '^## Unreleased$' | head -n 1 || true)
[ "${heading% - *}" = "## $version" ] ||
  die "CHANGELOG.md: the newest version is \"${heading:-none}\", but the tag is $tag; give it a section \"## $version - YEAR-MONTH-DAY\""
date=${heading##* - }
python3 -c 'import datetime, re, sys
assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", sys.argv[1])
datetime.date.fromisoformat(sys.argv[1])' "$date" 2>/dev/null ||
  die "CHANGELOG.md: \"$heading\" has no date such as 2026-11-29"

# section HEADING: the lines below it, up to the next heading of its level.
section() { awk -v heading="$1" '/^## / { inside = $0 == heading; next } inside' CHANGELOG.md; }

! section "## Unreleased" | grep -q '^- ' ||
  die "CHANGELOG.md: changes are listed under Unreleased; move them below \"$heading\""
text=$(section "$heading")
grep -q '^- ' <<<"$text" || die "CHANGELOG.md: \"$heading\" lists no change"
printf '%s\n' "$text"
