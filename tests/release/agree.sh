#!/usr/bin/env bash
# Runs scripts/release-check.sh on copies of this clone's files that agree, and on copies with one fault each; and scripts/release-state.sh
# with a stand-in for gh.
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
  changelog '## Unreleased' '' "## 9.8.7 - $today" '' '### Added' '' '- A change.' '' '## 9.8.6 - 2025-01-01' '' '- An older one.'
}

# in_days N: the date, by UTC.
in_days() {
  python3 -c 'import datetime, sys
print((datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=int(sys.argv[1]))).date())' "$1"
}
today=$(in_days 0)

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

# The package's version as TOML has it, whatever stands around it.
clone
sed "s/^version = \"9.8.7\"\$/version = '9.8.7' # the next one/" "$work/clone/Cargo.toml" >"$work/edited"
{ printf '[workspace.package]\nversion = "1.0.0"\n\n' && cat "$work/edited"; } >"$work/clone/Cargo.toml"
succeeds "- A change." check

clone
changelog '## Unreleased' '' '- A change.'
fails 1 "changes are listed under Unreleased" check
changelog '## Unreleased'
fails 1 'CHANGELOG.md: the newest version is "none"' check
# The version is there, but another is newer.
changelog "## 9.9.0 - $today" '' '- A change.' '' '## 9.8.7 - 2025-01-02' '' '- A change.'
fails 1 "CHANGELOG.md: the newest version is \"## 9.9.0 - $today\"" check
changelog "## 9.8.7 - $today" '' '- A change.' '' '## 9.10.0 - 2025-01-02' '' '- A change.'
fails 1 '"## 9.10.0 - 2025-01-02" is below the older' check
changelog "## 9.8.7 - $today" '' '- A change.' '' '## 9.8.6 - 2025-01-02' '' '- A.' '' '## 9.9.0 - 2025-01-01' '' '- A change.'
fails 1 '"## 9.9.0 - 2025-01-01" is below the older' check
changelog "## 9.8.7 - $today" '' '- A change.' '' '## 9.8.7 - 2025-01-02' '' '- Another.'
fails 1 '"## 9.8.7 - 2025-01-02" is there twice' check
for heading in '## [Unreleased]' '## Notes' ' ## Unreleased' '##  Unreleased'; do
  changelog "## 9.8.7 - $today" '' '- A change.' '' "$heading" '' '- Left behind.'
  fails 1 "\"$heading\" is neither" check
done
changelog '## 9.8.7' '' '- A change.'
fails 1 '"## 9.8.7" has no date' check
for date in 2026-13-01 2026-1-1 soon; do
  changelog "## 9.8.7 - $date" '' '- A change.'
  fails 1 "\"## 9.8.7 - $date\" has no date" check
done
changelog "## 9.8.7 - $(in_days 1)" '' '- A change.'
succeeds "- A change." check
changelog "## 9.8.7 - $(in_days 3)" '' '- A change.'
fails 1 "has a date in the future" check
for line in '- Left behind.' '* Left behind.' 'Left behind.' '### Added' '  - Left behind.'; do
  changelog '## Unreleased' '' "$line" '' "## 9.8.7 - $today" '' '- A change.'
  fails 1 "changes are listed under Unreleased" check
done
changelog "## 9.8.7 - $today" '' '- A change.' '' '## Unreleased' '' 'Left behind.'
fails 1 "changes are listed under Unreleased" check
changelog "## 9.8.7 - $today" '' '## 9.8.6 - 2025-01-01' '' '- An older one.'
fails 1 "lists no change" check
say "scripts/release-check.sh works"

# state TAG: what the script makes of the answers in the files `published` and `commit`; without its file, gh fails.
state() { PATH=$work/bin:$PATH answers=$work "$root/scripts/release-state.sh" example/proxy "$1" c0ffee; }

mkdir "$work/bin"
program "$work/bin/gh" <<'END'
case "$*" in
  "api --paginate repos/example/proxy/releases --jq "*) exec cat "$answers/published" 2>/dev/null ;;
  "api repos/example/proxy/commits/tags/v"*" --jq .sha") exec cat "$answers/commit" 2>/dev/null ;;
esac
exit 64
END
fails 1 "its releases could not be listed" state v9.8.7
: >"$work/published"
fails 1 "its commit could not be looked up" state v9.8.7
echo c0ffee >"$work/commit"
succeeds true state v9.8.7
printf '%s\n' v9.8.6 v9.8.10 nightly v10 >"$work/published"
succeeds false state v9.8.7
succeeds true state v9.9.0
succeeds true state v10.0.0
fails 1 "v9.8.6: is published already" state v9.8.6
succeeds false state v9.8.1
echo decaf >"$work/commit"
fails 1 "is at commit decaf now, but this run builds c0ffee" state v9.9.0
say "scripts/release-state.sh works"
