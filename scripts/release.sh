#!/usr/bin/env bash
# Builds what a release consists of, into target/dist; `make release` calls it. For each target: an archive, a Debian
# package (Linux), a list of parts (SBOM); and SHA256SUMS over them all. Two clones of one commit give the same bytes if
# they use the same Rust.
#
#   scripts/release.sh              for this machine
#   scripts/release.sh TARGET...    also for others, on Linux: x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

# The glibc of Debian 11 and Ubuntu 20.04.
glibc=2.31
dist=target/dist
made=target/package # what Cargo.toml's list for the Debian package names

main() {
  local target
  host=$(rustc --version --verbose | sed -n 's/^host: //p')
  version=$(scripts/release-version.py)
  scripts/setup.sh release
  lock
  python=$(venv packaging/release/requirements.txt)
  unlock
  same_everywhere
  rm -rf "$dist"
  mkdir -p "$dist"
  compile "$host" # its program writes the manual pages and completions for every target
  stage_documents
  for target in $(printf '%s\n' "$host" "$@" | sort -u); do
    [ "$target" = "$host" ] || compile "$target"
    pack "$target"
  done
  checksums
}

# What would differ between two clones, accounts or days.
same_everywhere() {
  [ -z "$(git status --porcelain --untracked-files=normal)" ] || say "warning: the work tree has changes that no commit has, so no other clone can give these bytes"
  # cargo-deb takes whatever is in these folders.
  local more
  more=$(git ls-files --others -- ':(glob)*.md' ':(glob)LICENSE-*' docs acl launchd systemd packaging/events packaging/grafana)
  case $host in
    *-linux-*) [ -z "$more" ] || die "the Debian package would have these files, which git does not know; remove or add them: ${more//$'\n'/, }" ;;
  esac
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
  export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
  export RUSTFLAGS="--remap-path-prefix=$root=/source --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  unset CARGO_TARGET_DIR CARGO_ENCODED_RUSTFLAGS CFLAGS CGO_CFLAGS CGO_CPPFLAGS CGO_CXXFLAGS CGO_LDFLAGS
  unset GOAMD64 GOARM64 GOEXPERIMENT GOFIPS140 GOFLAGS
  # Go's settings file (`go env -w`) may have the same; where Go downloads from still holds.
  local name
  for name in GOPROXY GONOPROXY GOSUMDB GONOSUMDB GOPRIVATE; do export "$name=$(go env "$name")"; done
  export GOENV=off
  umask 022
}

# compile TARGET. On Linux zig is the C compiler and the linker, since this machine's would ask for this machine's glibc.
compile() {
  local command=build target=$1
  case $1 in *-linux-*) command=zigbuild target=$1.$glibc ;; esac
  ! command -v rustup >/dev/null || rustup target add "$1" 2>/dev/null
  PATH=${python%/*}:${cargo_auditable%/*}:$PATH run cargo auditable "$command" --locked --release --target "$target" >&2
}

# The binary writes them.
stage_documents() {
  local proxy=target/$host/release/remote-ollama-proxy
  rm -rf "$made"
  mkdir -p "$made"
  # Without a user's config, and with a home folder whose path is short enough for a socket.
  env -i HOME=/nonexistent "$proxy" service --manager systemd install --print \
    --program /usr/bin/remote-ollama-proxy >"$made/remote-ollama-proxy.service"
  "$proxy" man --to "$made/man" >/dev/null
  mkdir "$made/completions"
  "$proxy" completions bash >"$made/completions/remote-ollama-proxy.bash"
  "$proxy" completions fish >"$made/completions/remote-ollama-proxy.fish"
  "$proxy" completions zsh >"$made/completions/_remote-ollama-proxy"
}

# pack TARGET: the files of a release for it.
pack() {
  local name=remote-ollama-proxy-$version-$1
  scripts/notices.py "$1" >"$made/third-party-licences"
  say "+ scripts/sbom.py $1"
  "$python" scripts/sbom.py "$1" >"$dist/$name.cdx.json"
  archive "$1" "$name"
  case $1 in
    *-linux-*) run "$cargo_deb" --no-build --no-strip --locked --quiet --target "$1" --output "$dist" >/dev/null ;;
  esac
}

# archive TARGET NAME: the folders keep their places, so that the links in README.md and docs/ lead somewhere.
archive() {
  local folder=target/archive/$2
  rm -rf target/archive
  mkdir -p "$folder"
  install -m 755 "target/$1/release/remote-ollama-proxy" "$folder"
  cp -R "$made/man" "$made/completions" "$folder"
  cp "$made/third-party-licences" "$folder"
  scripts/release-documents.sh "$folder"
  say "+ scripts/archive.py $2.tar.gz"
  "$python" scripts/archive.py "$dist/$2.tar.gz" "$folder"
}

checksums() {
  local sum=(sha256sum)
  command -v sha256sum >/dev/null || sum=(shasum -a 256)
  (cd "$dist" && "${sum[@]}" remote-ollama-proxy* >SHA256SUMS && cat SHA256SUMS)
}

main "$@"
