#!/usr/bin/env bash
# Makes the container image for this machine's processor from the archive that `make release` made, and saves it, as
# localhost/remote-ollama-proxy:release. It is the last stage of packaging/Containerfile; the archive stands in for the stage that compiles.
#
#   scripts/image.sh DIST FILE.tar.gz [BASE]    BASE: another base image than the container file's
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"

[ $# -eq 2 ] || [ $# -eq 3 ] || die "usage: image.sh DIST FILE.tar.gz [BASE]"
need podman "apt-get install podman"
image=localhost/remote-ollama-proxy:release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/out/bin" "$work/source"
tar -C "$work/source" --strip-components 1 -xzf "$1"/remote-ollama-proxy-*-"$(uname -m)"-unknown-linux-gnu.tar.gz
mv "$work/source/remote-ollama-proxy" "$work/out/bin/"
mv "$work/source/third-party-licences" "$work/out/"
# The host's network: apt-get needs no other.
run podman build --network host --build-context "build=$work" ${3:+--build-arg "BASE=$3"} \
  --file "$root/packaging/Containerfile" --tag "$image" "$root" >&2
run podman run --rm --network none "$image" version
podman save "$image" | gzip >"$2"
