#!/usr/bin/env bash
# Uses the program of the Debian package for arm64 on a machine with another processor: qemu translates it, and it gets the
# libraries of Debian 11. It joins the test tailnet and answers one request. No part of it needs root.
#
#   tests/release/aarch64.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=use.sh
. "$root/tests/release/use.sh"
cd "$root"

main() {
  need mmdebstrap "apt-get install mmdebstrap"
  need qemu-aarch64-static "apt-get install qemu-user-static"
  local package
  package=$(ls target/dist/remote-ollama-proxy_*_arm64.deb) || die "make release targets=aarch64-unknown-linux-gnu first"
  surroundings
  heading "arm64"
  system=$dir/system
  # It runs nothing of what it unpacks. Debian 11 has no security updates for arm64.
  # shellcheck disable=SC2016 # mmdebstrap's shell
  step "The libraries of Debian 11 for arm64" "$dir/build" mmdebstrap --variant=extract --arch=arm64 --include=libc6 \
    --setup-hook='sed -i /security/d "$1/etc/apt/sources.list"' bullseye "$system"
  end_on_signals
  dpkg-deb --extract "$package" "$system"
  mkdir -p "$dir/home" "$dir/bin"
  printf '#!/bin/sh\nexec qemu-aarch64-static -L %s %s/usr/bin/remote-ollama-proxy "$@"\n' "$system" "$system" >"$dir/bin/remote-ollama-proxy"
  chmod 755 "$dir/bin/remote-ollama-proxy"
  as_person remote-ollama-proxy acl --check "$system/usr/share/doc/remote-ollama-proxy/acl/policy.hujson"
  answers_a_request node-of-arm64
  say "the package for arm64 works"
}

as_person() { env -i HOME="$dir/home" PATH="$dir/bin:$PATH" REMOTE_OLLAMA_PROXY_AS_ROOT=1 "$@"; }

main
