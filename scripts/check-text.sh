#!/usr/bin/env bash
# Checks the tracked files for text that does not belong in them: hosts of package registries, which package managers know
# by themselves, paths that exist on one machine only, and tests that wait for a time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Written with [.] and [/] so that this file does not match itself.
hosts='crates[.]io|pypi[.]org|pythonhosted[.]org|(proxy|sum)[.]golang[.]org|npmjs[.](org|com)|(deb|security)[.]debian[.]org|archive[.]ubuntu[.]com'
paths='(^|[^A-Za-z0-9_.~-])[/](work|root|home[/][a-z]+|Users[/][A-Za-z]+)[/]'
clocks='sleep[(]|sleep_until|yield_now|spin_loop'

# Lock files name the registry of each package; people do not edit them.
everything=(. ':!Cargo.lock' ':!*/Cargo.lock' ':!*/go.sum')
tests=('tests/*.rs' ':!tests/support/wait.rs')

status=0
# complain PATTERN WHAT FILE...
complain() {
  if git grep --line-number -I --extended-regexp "$1" -- "${@:3}"; then
    printf 'error: the lines above have %s\n' "$2" >&2
    status=1
  fi
}
complain "$hosts" "a package registry's host" "${everything[@]}"
complain "$paths" "a path of one machine" "${everything[@]}"
complain "$clocks" "a clock; wait for a condition with tests/support/wait.rs instead" "${tests[@]}"

# unit_tests: prints the lines of the unit tests in src as FILE:LINE:TEXT. A file of tests is one whole; in any other file they are what
# follows `#[cfg(test)]` and `mod`.
unit_tests() {
  # shellcheck disable=SC2016 # awk has variables of its own
  git ls-files -z 'src/*.rs' | xargs -0 awk '
    FNR == 1 { inside = FILENAME ~ /(^|[/])tests([.]rs$|[/])/; attribute = 0 }
    attribute && /^mod / { inside = 1 }
    { attribute = /^#\[cfg\(test\)\]/ }
    inside { print FILENAME ":" FNR ":" $0 }
  '
}
if unit_tests | grep --extended-regexp "$clocks"; then
  echo 'error: the lines above have a clock; wait for a channel, a Condvar or a poll, or advance paused time' >&2
  status=1
fi
exit "$status"
