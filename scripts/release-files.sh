#!/usr/bin/env bash
# Puts the files of a release together from what `make release` made on each system, and checks that none is missing or changed.
#
#   scripts/release-files.sh OWNER/NAME TO FROM...
#
# Each FROM is the target/dist of one system. TO gets their files, install.sh and the Homebrew formula with this repository's name
# and these checksums, and one SHA256SUMS of all.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"

[ $# -ge 3 ] || die "usage: release-files.sh OWNER/NAME TO FROM..."
[[ $1 =~ ^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$ ]] || die "$1: is no repository; expected OWNER/NAME"
repository=$1 to=$2
name=remote-ollama-proxy
version=$("$root/scripts/release-version.py")

main() {
  local from
  [ ! -e "$to" ] || die "$to: exists; remove it"
  mkdir -p "$to"
  for from; do
    [ -s "$from/SHA256SUMS" ] || die "$from/SHA256SUMS: is missing; make release writes it"
    (cd "$from" && sha256 --check --strict --quiet SHA256SUMS) || die "$from: has other files than its SHA256SUMS"
    cp "$from"/* "$to/"
    rm "$to/SHA256SUMS"
  done
  is_there $name-"$version"-{x86_64,aarch64}-{unknown-linux-gnu,apple-darwin}.{tar.gz,cdx.json} \
    "${name}_${version}_amd64.deb" "${name}_${version}_arm64.deb"
  sed "s|^repository=OWNER/.*|repository=$repository|" "$root/install.sh" >"$to/install.sh"
  formula >"$to/$name.rb"
  ! grep -n 'OWNER/' "$to/$name.rb" >&2 || die "the formula: this place was not filled in"
  local sums
  sums=$(cd "$to" && sha256 -- *)
  printf '%s\n' "$sums" >"$to/SHA256SUMS"
}

is_there() {
  local file
  for file; do [ -s "$to/$file" ] || die "$file: is in none of the folders"; done
  [ "$(find "$to" -type f | wc -l)" -eq $# ] || die "$to: has more than these files: $*"
}

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

# The checksum's line names its target in a comment.
formula() {
  local script="s|OWNER/$name|$repository|; s|0\.0\.0|$version|g" target
  for target in {aarch64,x86_64}-{apple-darwin,unknown-linux-gnu}; do
    script+="; s|\"0*\" # $target\$|\"$(sha256 <"$to/$name-$version-$target.tar.gz" | cut -c 1-64)\"|"
  done
  sed "$script" "$root/packaging/homebrew/$name.rb"
}

shift 2
main "$@"
