#!/usr/bin/env bash
# Runs scripts/release-files.sh on what four systems would make, and on the same with one fault each; and scripts/release-documents.sh in
# clones that an editor, a system or git's settings changed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$root/tests/release/lib.sh"

version=$("$root/scripts/release-version.py")

# put_together: in $work/all, from the four folders.
put_together() {
  rm -rf "$work/all"
  "$root/scripts/release-files.sh" example/proxy "$work/all" "${targets[@]/#/$work/from/}"
}

begin
need ruby "apt-get install ruby"
for target in "${targets[@]}"; do archive "$work/from/$target" "$version" "$target"; done

put_together
(cd "$work/all" && for file in *; do [ "$file" = SHA256SUMS ] || grep -q "  $file\$" SHA256SUMS || die "SHA256SUMS: lacks $file"; done)
[ "$(wc -l <"$work/all/SHA256SUMS")" -eq 12 ] || die "SHA256SUMS: has $(wc -l <"$work/all/SHA256SUMS") lines"

ruby -c "$work/all/remote-ollama-proxy.rb" >/dev/null
for target in "${targets[@]}"; do
  file=remote-ollama-proxy-$version-$target.tar.gz
  sum=$(sed -n "s/  $file\$//p" "$work/all/SHA256SUMS")
  grep -A 1 -F "https://github.com/example/proxy/releases/download/v$version/$file\"" "$work/all/remote-ollama-proxy.rb" |
    grep -q "sha256 \"$sum\"" || die "the formula: has another checksum for $file"
done
! grep -nE 'OWNER|0\.0\.0|0{64}' "$work/all/remote-ollama-proxy.rb" || die "the formula: these places were not filled in"

# install.sh of the release knows its repository, and no page.
grep -q '^repository=example/proxy$' "$work/all/install.sh" || die "install.sh: the repository was not filled in"
serve "$work/all"
succeeds "Installed remote-ollama-proxy $version" sh "$work/all/install.sh" --from "$page" --prefix "$work/prefix" --no-signature

mv "$work/from/x86_64-apple-darwin" "$work/aside"
mkdir "$work/from/x86_64-apple-darwin"
fails 1 "SHA256SUMS: is missing" put_together
cp "$work/aside"/* "$work/from/x86_64-apple-darwin/"
rm "$work/from/x86_64-apple-darwin"/*.tar.gz && sums "$work/from/x86_64-apple-darwin"
fails 1 "x86_64-apple-darwin.tar.gz: is in none of the folders" put_together
cp "$work/aside"/* "$work/from/x86_64-apple-darwin/"
echo more >"$work/from/x86_64-apple-darwin/more" && sums "$work/from/x86_64-apple-darwin"
fails 1 "has more than these files" put_together
rm "$work/from/x86_64-apple-darwin/more" && sums "$work/from/x86_64-apple-darwin"
echo changed >>"$work/from/x86_64-apple-darwin/remote-ollama-proxy-$version-x86_64-apple-darwin.cdx.json"
! put_together 2>"$work/err" || die "a changed file was accepted"
grep -q "has other files than its SHA256SUMS" "$work/err" || die "a changed file gave another error: $(cat "$work/err")"
say "scripts/release-files.sh works"

# documents CLONE NAME: packs its documents as NAME.tar.gz.
documents() {
  mkdir -p "$work/$2/documents"
  "$root/scripts/release-documents.sh" "$work/$2/documents" "$work/$1"
  SOURCE_DATE_EPOCH=0 python3 "$root/scripts/archive.py" "$work/$2.tar.gz" "$work/$2/documents"
}

address=file://${root// /%20}
git clone --quiet --depth 1 "$address" "$work/clean"
documents clean first
is_in() { [ -s "$work/first/documents/$1" ] || die "the documents of the archive lack $1"; }
for file in README.md LICENSE-MIT config.example.toml docs/verify.md docs/pictures/top.svg acl/policy.hujson launchd/README.md \
  systemd/ollama.service.d/loopback.conf packaging/events/mail.sh packaging/grafana/alerts.yml; do is_in "$file"; done
[ ! -e "$work/first/documents/packaging/README.md" ] || die "the archive has more of packaging/ than its parts"

git -c core.autocrlf=true clone --quiet --depth 1 --config core.autocrlf=true --config status.showUntrackedFiles=no "$address" "$work/used"
[ -z "$(git -C "$work/used" status --porcelain)" ] || die "core.autocrlf=true changes files; .gitattributes should prevent that"
for file in docs/.DS_Store docs/pictures/.top.svg.swp acl/notes.md packaging/events/.DS_Store more.md; do echo more >"$work/used/$file"; done
documents used second
cmp "$work/first.tar.gz" "$work/second.tar.gz" || die "files that git does not know, or git's settings, change the archive"
say "scripts/release-documents.sh works"
