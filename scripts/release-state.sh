#!/usr/bin/env bash
# Asks GitHub whether a tag may still be released. It ends with an error if a release of the tag is published, or if the tag is no longer at
# COMMIT. Otherwise it prints `true` if the tag's version is higher than every published one, so that it becomes the latest, or `false`.
# The release workflow runs it at its start, after the approval, and before each step that publishes.
#
#   scripts/release-state.sh OWNER/NAME TAG COMMIT    needs gh, signed in
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"

[ $# -eq 3 ] || die "usage: release-state.sh OWNER/NAME TAG COMMIT"
repository=$1 tag=$2 commit=$3

# Not `gh release view`: it fails alike if there is no such release and if GitHub does not answer.
published=$(gh api --paginate "repos/$repository/releases" --jq '.[] | select(.draft | not) | .tag_name') ||
  die "$repository: its releases could not be listed"
! grep -qxF -- "$tag" <<<"$published" || die "$tag: is published already; a published release does not change"

now=$(gh api "repos/$repository/commits/tags/$tag" --jq .sha) || die "$tag: its commit could not be looked up"
[ "$now" = "$commit" ] || die "$tag: is at commit $now now, but this run builds $commit"

# Other tags than those of releases do not count.
highest=$({ grep -xE 'v[0-9]+\.[0-9]+\.[0-9]+' <<<"$published" || true; printf '%s\n' "$tag"; } | sort -V | tail -n 1)
if [ "$highest" = "$tag" ]; then echo true; else echo false; fi
