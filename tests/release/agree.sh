#!/usr/bin/env bash
# Runs scripts/release-check.sh on copies of this clone's files that agree, and on copies with one fault each.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$root/tests/release/lib.sh"

check() { "$root/scripts/release-check.sh" "$tag" "$work/clone"; }

# clone: three files that agree on version 9.8.7.
clone() {
  tag=v9.8.7
  rm -rf "$work/clone"
  mkdir "$work/clone"
  sed '1,/^version = /s/^version = .*/version = "9.8.7"/' "$root/Cargo.toml" >"$work/clone/Cargo.toml"
  sed '/^name = "remote-ollama-proxy"$/{n;s/.*/version = "9.8.7"/;}' "$root/Cargo.lock" >"$work/clone/Cargo.lock"
  changelog '## Unreleased' '' '## 9.8.7 - 2026-11-29' '' '### Added' '' '- A change.' '' '## 9.8.6 - 2026-01-01' '' '- An older one.'
}

changelog() { printf '%s\n' '# Changelog' '' "$@" >"$work/clone/CHANGELOG.md"; }

# edit FILE SCRIPT: runs sed on it.
edit() {
  sed "$2" "$work/clone/$1" >"$work/edited"
  cp "$work/edited" "$work/clone/$1"
}

begin
clone
succeeds "- A change." check
! grep -q "older" "$work/out" || die "the text has changes of another version"

for tag in 9.8.7 v9.8 v9.8.7-rc1 'v9.8.7;id' ''; do fails 1 "a release's tag is v and three numbers" check; done
clone
tag=v9.8.8 fails 1 "Cargo.toml: the version is 9.8.7, but the tag is v9.8.8" check
edit Cargo.lock 's/^version = "9.8.7"$/version = "9.8.6"/'
fails 1 "Cargo.lock: the version is 9.8.6" check

clone
changelog '## Unreleased' '' '- A change.'
fails 1 'CHANGELOG.md: the newest version is "none"' check
# The version is there, but another is newer.
changelog '## 9.9.0 - 2026-11-29' '' '- A change.' '' '## 9.8.7 - 2026-11-28' '' '- A change.'
fails 1 'CHANGELOG.md: the newest version is "## 9.9.0 - 2026-11-29"' check
changelog '## 9.8.7' '' '- A change.'
fails 1 '"## 9.8.7" has no date' check
for date in 2026-13-01 2026-1-1 soon; do
  changelog "## 9.8.7 - $date" '' '- A change.'
  fails 1 "\"## 9.8.7 - $date\" has no date" check
done
changelog '## Unreleased' '' '- Left behind.' '' '## 9.8.7 - 2026-11-29' '' '- A change.'
fails 1 "changes are listed under Unreleased" check
changelog '## 9.8.7 - 2026-11-29' '' '## 9.8.6 - 2026-01-01' '' '- An older one.'
fails 1 "lists no change" check
say "scripts/release-check.sh works"
