#!/usr/bin/env bash
# Looks through the tracked files for what has no place in them: hosts of package registries, since everybody's
# package manager knows its own, and paths that exist on one machine only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Written with [.] and [/] so that this file does not contain what it looks for.
hosts='crates[.]io|pypi[.]org|pythonhosted[.]org|(proxy|sum)[.]golang[.]org|npmjs[.](org|com)|(deb|security)[.]debian[.]org|archive[.]ubuntu[.]com'
paths='(^|[^A-Za-z0-9_.~-])[/](work|root|home[/][a-z]+|Users[/][A-Za-z]+)[/]'

# Lock files name the registry of each package; no person writes them.
files=(-- . ':!Cargo.lock' ':!*/Cargo.lock' ':!*/go.sum')

status=0
complain() {
  if git grep --line-number -I --extended-regexp "$1" "${files[@]}"; then
    printf 'error: the lines above name %s\n' "$2" >&2
    status=1
  fi
}
complain "$hosts" "a package registry's host"
complain "$paths" "a path of one machine"
exit "$status"
