#!/usr/bin/env bash
# Tests what `make release` left for this machine: the checksums, the contents of the archive, the program, the SBOM, the Debian package,
# and what install.sh installs from it. The release workflow runs it on each system.
#
#   scripts/test-artifact.sh             target/dist
#   scripts/test-artifact.sh FOLDER
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
# shellcheck source-path=SCRIPTDIR source=../tests/release/lib.sh
. "$root/tests/release/lib.sh"

name=remote-ollama-proxy
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
dist=$(cd "${1:-$root/target/dist}" && pwd)

main() {
  case $(uname -s)/$(uname -m) in
    Linux/x86_64) target=x86_64-unknown-linux-gnu deb=amd64 ;;
    Linux/aarch64) target=aarch64-unknown-linux-gnu deb=arm64 ;;
    Darwin/arm64) target=aarch64-apple-darwin deb= ;;
    Darwin/x86_64) target=x86_64-apple-darwin deb= ;;
    *) die "there is no release for $(uname -s) on $(uname -m)" ;;
  esac
  top=$name-$version-$target
  begin
  checksums
  unpack
  try "$work/$top/$name" "$work/$top/config.example.toml" "$work/$top/acl/policy.hujson"
  sbom
  [ -z "$deb" ] || package
  installed
  say "the artifacts of $target work"
}

# Each file has a checksum, and it is right.
checksums() {
  cp "$dist/SHA256SUMS" "$work/listed"
  (cd "$dist" && if command -v sha256sum >/dev/null; then sha256sum --check --quiet SHA256SUMS; else shasum -a 256 --check --quiet SHA256SUMS; fi)
  local file
  for file in "$dist"/*; do
    file=${file##*/}
    [ "$file" = SHA256SUMS ] || grep -q "^[0-9a-f]\{64\}  $file\$" "$work/listed" || die "SHA256SUMS: lacks $file"
  done
  is_there "$dist" "$top.tar.gz" "$top.cdx.json"
}

unpack() {
  ! tar -tzf "$dist/$top.tar.gz" | grep -v "^$top/" >&2 || die "$top.tar.gz: has files outside of $top"
  tar -C "$work" -xzf "$dist/$top.tar.gz"
  is_there "$work/$top" $name man/$name.1 man/$name-service-install.1 completions/{$name.bash,$name.fish,_$name} \
    LICENSE-MIT LICENSE-APACHE third-party-licences README.md config.example.toml acl/{policy,headscale}.hujson \
    systemd/$name.service launchd/com.$name.plist
}

is_there() {
  local file
  for file in "${@:2}"; do [ -s "$1/$file" ] || die "$1: lacks $file"; done
}

# try PROGRAM CONFIG POLICY: runs it with nothing from the environment.
try() {
  local clean=(env -i HOME="$work/home")
  [ "$("${clean[@]}" "$1" --version)" = "$name $version" ] || die "$1 is not version $version"
  run "${clean[@]}" "$1" check --config "$2" >/dev/null
  run "${clean[@]}" "$1" acl --check "$3" >/dev/null
}

# The SBOM names this program, and parts in both languages.
sbom() {
  python3 - "$dist/$top.cdx.json" $name "$version" <<'END' || die "$top.cdx.json: is not the SBOM of this program"
import json, sys
with open(sys.argv[1]) as f:
    bom = json.load(f)
assert bom["bomFormat"] == "CycloneDX"
assert (bom["metadata"]["component"]["name"], bom["metadata"]["component"]["version"]) == tuple(sys.argv[2:])
parts = [component.get("purl", "") for component in bom["components"]]
assert any(part.startswith("pkg:cargo/tokio@") for part in parts), "no crate"
assert any(part.startswith("pkg:golang/tailscale.com@") for part in parts), "no Go module"
END
}

package() {
  local file=$dist/${name}_${version}_$deb.deb
  [ "$(dpkg-deb --field "$file" Version)" = "$version" ] || [ "$(dpkg-deb --field "$file" Version)" = "$version-1" ] ||
    die "$file: is version $(dpkg-deb --field "$file" Version)"
  [ "$(dpkg-deb --field "$file" Architecture)" = "$deb" ] || die "$file: is for $(dpkg-deb --field "$file" Architecture)"
  mkdir "$work/deb"
  dpkg-deb --extract "$file" "$work/deb"
  try "$work/deb/usr/bin/$name" "$work/deb/usr/share/doc/$name/config.example.toml" \
    "$work/deb/usr/share/doc/$name/acl/policy.hujson"
}

# As a user does it, from a local page.
installed() {
  serve "$dist"
  run sh "$root/install.sh" --from "$page" --version "$version" --prefix "$work/prefix" >/dev/null
  try "$work/prefix/bin/$name" "$work/prefix/share/doc/$name/config.example.toml" "$work/prefix/share/doc/$name/acl/policy.hujson"
}

main
