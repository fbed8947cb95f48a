#!/usr/bin/env bash
# Installs the Debian package from target/dist in fresh roots of Debian 11 and 13, which have nothing to build with, and uses
# it there as an ordinary account: a config, a review, a place in the test tailnet, one request. Then it removes the package.
# As root, on Debian or Ubuntu.
#
#   tests/release/roots.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=use.sh
. "$root/tests/release/use.sh"
cd "$root"

main() {
  local suite
  [ "$(id -u)" -eq 0 ] || die "chroot(8) needs root"
  need mmdebstrap "apt-get install mmdebstrap"
  package=$(ls target/dist/remote-ollama-proxy_*_"$(dpkg --print-architecture)".deb) || die "make release first"
  surroundings
  for suite in bullseye trixie; do try_in "$suite"; done
  say "the package works in Debian 11 and 13"
}

try_in() {
  system=$dir/$1
  heading "Debian $1"
  step "A fresh root" "$dir/build" mmdebstrap --variant=minbase --skip=cleanup/apt/lists "$1" "$system"
  end_on_signals
  mount -t proc proc "$system/proc"
  mounted=$system/proc
  cp "$package" "$system/package.deb"
  step "apt-get install ./package.deb" "$dir/build" chroot "$system" apt-get install --yes -qq ./package.deb
  end_on_signals
  chroot "$system" useradd --create-home person
  answers_a_request "node-in-$1"
  step "apt-get purge" "$dir/build" chroot "$system" apt-get purge --yes -qq remote-ollama-proxy
  end_on_signals
  ! chroot "$system" find / -xdev -path /var/log -prune -o -name '*remote-ollama-proxy*' -not -path '/home/*' -print |
    grep -v '^/var/' || die "the package leaves these files behind"
  umount "$mounted"
  mounted=
}

as_person() { chroot --userspec=person "$system" env -i HOME=/home/person PATH=/usr/bin:/bin "$@"; }

# Besides what scripts/demo.sh removes.
mounted=
end_here() {
  # shellcheck disable=SC2016 # the person's shell
  [ -z "$mounted" ] || as_person sh -c 'kill "$(cat ~/pid)"' 2>/dev/null || true
  [ -z "$mounted" ] || umount "$mounted"
  end
}
trap end_here EXIT

main
