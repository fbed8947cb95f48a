#!/usr/bin/env bash
# Makes the container image for this machine's processor from the archive that `make release` made, and saves it, as
# remote-ollama-proxy:release. It is the last stage of packaging/Containerfile; the archive stands in for the stage that compiles.
#
#   scripts/image.sh DIST FILE.tar.gz
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"

[ $# -eq 2 ] || die "usage: image.sh DIST FILE.tar.gz"
need docker "install Docker with buildx"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/out/bin" "$work/source"
tar -C "$work/source" --strip-components 1 -xzf "$1"/remote-ollama-proxy-*-"$(uname -m)"-unknown-linux-gnu.tar.gz
mv "$work/source/remote-ollama-proxy" "$work/out/bin/"
mv "$work/source/third-party-licences" "$work/out/"
run docker buildx build --load --provenance=false --build-context "build=$work" --file "$root/packaging/Containerfile" \
  --tag remote-ollama-proxy:release "$root"
run docker run --rm remote-ollama-proxy:release version
run docker save remote-ollama-proxy:release | gzip >"$2"
