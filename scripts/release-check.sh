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

manifest=$("$root/scripts/release-version.py" .)
[ "$manifest" = "$version" ] || die "Cargo.toml: the version is $manifest, but the tag is $tag; change one of them"
locked=$(awk -F '"' '/^name = / { name = $2 } /^version = / && name == "remote-ollama-proxy" { print $2 }' Cargo.lock)
[ "$locked" = "$version" ] || die "Cargo.lock: the version is $locked, but the tag is $tag; run cargo update --workspace"
"$root/scripts/release-changelog.py" "$version" CHANGELOG.md
