#!/usr/bin/env bash
# Builds the Debian package, for the architecture and the C library of this machine; `make deb` calls it.
#
#   scripts/deb.sh         builds it and prints its path
#   scripts/deb.sh test    builds it, installs it in a temporary folder, tries it there, and removes it
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

main() {
  [ "$(uname -s)" = Linux ] || die "a Debian package is built on Debian or Ubuntu"
  case ${1:-} in
    '') build && printf '%s\n' "$package" ;;
    test) build && try ;;
    *)
      say "usage: deb.sh [test]"
      exit 2
      ;;
  esac
}

# The binary writes the package's other files.
build() {
  local proxy=${CARGO_TARGET_DIR:-target}/release/remote-ollama-proxy made=target/package shell
  scripts/setup.sh deb
  run cargo build --locked --release >&2
  rm -rf "$made"
  mkdir -p "$made"
  # Without a user's config.
  env -i HOME="$PWD/$made" "$proxy" service --manager systemd install --print \
    --program /usr/bin/remote-ollama-proxy >"$made/remote-ollama-proxy.service"
  "$proxy" man --to "$made/man"
  for shell in bash fish zsh; do "$proxy" completions "$shell" >"$made/$shell"; done
  say "+ scripts/notices.py"
  scripts/notices.py >"$made/third-party-licences"
  package=$(run "$cargo_deb" --no-build --locked --quiet)
  package=${package##*$'\n'}
}

# try: tests the package in a temporary root folder, so that it changes nothing on this machine.
try() {
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  dir=$(mktemp -d "${TMPDIR:-/tmp}/remote-ollama-proxy-deb.XXXXXX")
  # shellcheck disable=SC2064 # expanded now
  trap "${as_root[*]+"${as_root[*]}"} rm -rf '$dir'" EXIT
  # The folder has no libraries, so the binary uses those of this machine.
  dpkg=("${as_root[@]+"${as_root[@]}"}" dpkg "--root=$dir" --force-depends)
  mkdir -p "$dir/var/lib/dpkg/info" "$dir/var/lib/dpkg/updates"
  : >"$dir/var/lib/dpkg/status"

  dpkg-deb --field "$package" Package Version Architecture Depends Installed-Size
  run "${dpkg[@]}" --install "$package" 2>/dev/null
  run "$dir/usr/bin/remote-ollama-proxy" version
  is_there usr/lib/systemd/user/remote-ollama-proxy.service usr/share/man/man1/remote-ollama-proxy.1.gz \
    usr/share/man/man1/remote-ollama-proxy-service-install.1.gz usr/share/bash-completion/completions/remote-ollama-proxy \
    usr/share/doc/remote-ollama-proxy/{copyright,LICENSE-APACHE,third-party-licences,examples/config.example.toml}
  verify
  bash -n "$dir/usr/share/bash-completion/completions/remote-ollama-proxy"
  run "$dir/usr/bin/remote-ollama-proxy" check --config "$dir/usr/share/doc/remote-ollama-proxy/examples/config.example.toml" >/dev/null

  run "${dpkg[@]}" --purge remote-ollama-proxy
  [ -z "$(find "$dir" -path "$dir/var" -prune -o -type f -print)" ] || die "the package leaves files behind"
  say "the package works"
}

is_there() {
  local file
  for file; do [ -s "$dir/$file" ] || die "$package: lacks $file"; done
}

# systemd checks the unit, with the program in the package's folder.
verify() {
  local unit=$dir/remote-ollama-proxy.service said
  sed "s|\"/usr/bin/|\"$dir/usr/bin/|" "$dir/usr/lib/systemd/user/remote-ollama-proxy.service" >"$unit"
  said=$(XDG_RUNTIME_DIR=$dir run systemd-analyze --user verify "$unit" 2>&1 | grep -v '^+ ') || true
  rm "$unit"
  [ -z "$said" ] || die "the unit: $said"
}

main "$@"
