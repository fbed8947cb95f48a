#!/usr/bin/env bash
# Runs the top folder's install.sh against a local release page: what it installs, and that each failure leaves the old version as it was.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$root/tests/release/lib.sh"

main() {
  begin
  for target in "${targets[@]}"; do
    archive "$work/new" 0.9.1 "$target"
    archive "$work/old" 0.9.0 "$target"
  done
  # Without cosign and gh of this machine, and with the repository filled in, as in a release.
  mkdir "$work/bin"
  sed 's|^repository=OWNER/|repository=example/|' "$root/install.sh" >"$work/install.sh"
  serve "$work/new"
  plain_path

  installs_and_refreshes
  replaces_an_older_version
  refuses_what_is_not_whole
  refuses_what_it_cannot_use
  refuses_odd_members
  keeps_its_hands_off_without_permission
  leaves_the_old_version_when_interrupted
  checks_signatures
  works_with_wget
  say "install.sh works"
}

# plain_path: sets `path`, with what install.sh needs and nothing else.
plain_path() {
  local program
  for program in sh cat curl sha256sum shasum uname id mktemp rm sed awk tar gzip mkdir mv cp chmod find tail wc rmdir; do
    ! command -v "$program" >/dev/null || ln -s "$(command -v "$program")" "$work/bin/$program"
  done
  path=$work/bin
}

# setup ARGUMENT...: runs install.sh into `prefix`, from `page`.
# shellcheck disable=SC2120 # most calls go through `fails` and `succeeds`
setup() { env -i PATH="$path" HOME="$work/home" TMPDIR="$work" sh "$work/install.sh" --prefix "$prefix" --from "$page" "$@"; }

# unchanged BEFORE: `prefix` has what `snapshot` printed before, and the temporary folder is gone.
unchanged() {
  [ "$(snapshot)" = "$1" ] || { diff <(echo "$1") <(snapshot) >&2; die "$prefix: changed"; }
  [ -z "$(find "$work" -maxdepth 1 -name 'remote-ollama-proxy-install.*')" ] || die "$work: a temporary folder is left"
}

snapshot() { if [ -e "$prefix" ]; then (cd "$prefix" && find . -type f -exec cksum {} + | sort); fi; }

installs_and_refreshes() {
  prefix="$work/a prefix"
  succeeds "Next: remote-ollama-proxy init" setup
  grep -q "export PATH=\"$prefix/bin" "$work/out" || die "no word about PATH"
  grep -q "checksum only" "$work/out" || die "no word about the signature"
  [ "$("$prefix/bin/remote-ollama-proxy" --version)" = "remote-ollama-proxy 0.9.1" ] || die "the program is not installed"
  local file
  for file in man/man1/remote-ollama-proxy.1 bash-completion/completions/remote-ollama-proxy \
    fish/vendor_completions.d/remote-ollama-proxy.fish zsh/site-functions/_remote-ollama-proxy \
    doc/remote-ollama-proxy/{LICENSE-MIT,LICENSE-APACHE,third-party-licences,config.example.toml,acl/policy.hujson}; do
    [ -s "$prefix/share/$file" ] || die "$file is not installed"
  done
  local before
  before=$(snapshot)
  succeeds "in place of 0.9.1" setup --version v0.9.1
  unchanged "$before"

  # Without --prefix, an account that is not root gets it in its home.
  mkdir "$work/account"
  program "$work/account/id" <<<'echo 1000'
  succeeds "in $work/home/.local" env -i PATH="$work/account:$path" HOME="$work/home" TMPDIR="$work" sh "$work/install.sh" --from "$page"
}

# Also with a signal at each rename, another run in the middle, and a strict umask.
replaces_an_older_version() {
  cp "$work/old"/* "$work/new/" && sums "$work/new"
  prefix=$work/upgraded
  local doc=$prefix/share/doc
  (umask 077 && succeeds "Installed" setup --version 0.9.0)
  [ -z "$(find "$prefix" -type d ! -perm 755)$(find "$prefix/share" -type f ! -perm 644)" ] || die "others can't use what was installed"

  mkdir -p "$doc/remote-ollama-proxy/gone/deep" "$doc/other" "$work/busy"
  echo 0.9.0 | tee "$doc/other/stays" "$doc/remote-ollama-proxy/gone/deep/a file" >"$doc/remote-ollama-proxy/gone.md"
  ln -s ../other "$doc/remote-ollama-proxy/link"
  program "$work/busy/mv" <<'END'
"${0%/*}/../bin/mv" "$@" || exit
[ "$1" != -f ] || for signal in HUP INT TERM; do kill -s "$signal" "$PPID" || exit; done
END
  path=$work/busy:$work/bin succeeds "in place of 0.9.0" setup --version 0.9.1
  is_version 0.9.1
  grep -q "service install" "$work/out" || die "no word about the running service"
  [ -z "$(find "$doc/remote-ollama-proxy" -name 'gone*')" ] || die "files of the old version are left"
  [ "$(cat "$doc/remote-ollama-proxy/link/stays")" = 0.9.0 ] || die "something else was removed"
  rm "$doc/remote-ollama-proxy/link" "$work/busy/mv"

  # The first file that one run writes starts the other.
  program "$work/busy/cp" <<END
[ -e "$work/busy/code" ] || {
  : >"$work/busy/code"
  PATH="$work/bin" sh "$work/install.sh" --prefix "$prefix" --from "$page" --version 0.9.1 2>"$work/busy/said"
  echo \$? >"$work/busy/code"
}
exec "$work/bin/cp" "\$@"
END
  path=$work/busy:$work/bin succeeds "in place of 0.9.1" setup --version 0.9.0
  is_version 0.9.0
  [ "$(cat "$work/busy/code")" = 1 ] || die "two runs at once"
  grep -q "another run of this script installs in $prefix now" "$work/busy/said" || die "no word about the other run"
  # The lock of a run that was killed.
  local before
  before=$(snapshot)
  mkdir "$prefix/bin/.remote-ollama-proxy-install"
  fails 1 "rmdir \"$prefix/bin/.remote-ollama-proxy-install\"" setup --version 0.9.1
  unchanged "$before"
  rmdir "$prefix/bin/.remote-ollama-proxy-install" || die "a run removed the lock of another"
  succeeds "in place of 0.9.0" setup --version 0.9.1
  [ ! -e "$prefix/bin/.remote-ollama-proxy-install" ] || die "the lock is left"
  rm "$work/new"/*0.9.0* && sums "$work/new"
}

# is_version VERSION: every file in `prefix` that names its version names this one, and no half-written file is left.
is_version() {
  [ "$("$prefix/bin/remote-ollama-proxy" --version)" = "remote-ollama-proxy $1" ] || die "the program is not $1"
  [ "$(grep -rlE " of $1\$" "$prefix/share" | wc -l)" -eq 5 ] || die "not every file is of $1"
  [ -z "$(find "$prefix" -name '*.new-*')" ] || die "a half-written file is left"
}

# Each with an old version in place, and with none.
refuses_what_is_not_whole() {
  local before
  for prefix in "$work/a prefix" "$work/none"; do
    before=$(snapshot)
    page=$page/swapped fails 1 "the SHA-256 checksum is" setup
    unchanged "$before"
    page=$page/cut fails 1 "not downloaded" setup
    unchanged "$before"
    page=$page fails 1 "v0.8.0/SHA256SUMS: not downloaded" setup --version 0.8.0
    unchanged "$before"
    page=http://127.0.0.1:1 fails 1 "not downloaded" setup
    unchanged "$before"
  done
  [ ! -e "$work/none" ] || die "a failure created the prefix"
}

refuses_what_it_cannot_use() {
  local before saved=$page
  prefix="$work/a prefix"
  before=$(snapshot)
  # A machine that no release has anything for.
  mkdir "$work/odd"
  program "$work/odd/uname" <<'END'
case $1 in -s) echo Linux ;; *) echo riscv64 ;; esac
END
  path=$work/odd:$work/bin fails 1 "no release for Linux on riscv64" setup
  unchanged "$before"

  # One release without this machine's archive, one whose program does not run, one whose program is another version.
  local target
  target=$(sed -n 's/^Downloading remote-ollama-proxy-0.9.1-\(.*\).tar.gz/\1/p' <(setup))
  before=$(snapshot)
  mkdir "$work/less" "$work/bad"
  cp "$work/new"/* "$work/less/"
  rm "$work/less/remote-ollama-proxy-0.9.1-$target.tar.gz"
  sums "$work/less"
  with_page "$work/less"
  fails 1 "has no archive for $target" setup
  fails 1 "has no archive for $target" setup --version 0.9.1
  unchanged "$before"
  rebuild 'exit 127'
  with_page "$work/bad"
  fails 1 "does not run on this machine" setup
  unchanged "$before"
  rebuild 'echo remote-ollama-proxy 0.1.0'
  fails 1 'says "remote-ollama-proxy 0.1.0"' setup
  unchanged "$before"
  kill "$server"
  server=$first page=$saved

  # A temporary folder that no program may run in.
  program "$work/odd/chmod" <<'END'
case $2 in */tree/bin/*) set -- 644 "$2" ;; esac
exec "${0%/*}/../bin/chmod" "$@"
END
  rm "$work/odd/uname"
  path=$work/odd:$work/bin fails 1 "may be mounted noexec; set TMPDIR" setup
  unchanged "$before"

  fails 2 "--color: no such option" setup --color
  fails 2 "--version: needs a value" setup --version
  cp "$root/install.sh" "$work/unfilled.sh"
  fails 1 "names no repository" env -i PATH="$path" HOME="$work/home" sh "$work/unfilled.sh"
}

# What only a hostile mirror has, with a checksum that matches.
refuses_odd_members() {
  refuses_each "a link or another member" symlink hardlink fifo top-link
  refuses_each "a name with a character other than" newline control accent
  refuses_each "is not one folder remote-ollama-proxy-0.9.1-" second said SHA256SUMS hidden top-file
  refuses_each "remote-ollama-proxy is not a file in it" folder
  refuses_each "man/remote-ollama-proxy-x.1 is not a file in it" page
  refuses_each "can't be unpacked" climbs
}

# refuses_each TEXT KIND...
refuses_each() {
  local before kind
  before=$(snapshot)
  for kind in "${@:2}"; do
    page=$page/odd-$kind fails 1 "$1" setup
    grep -q "othing was installed" "$work/err" || die "$kind: no word that nothing was installed"
    unchanged "$before"
    [ ! -e "$work/climbed" ] || die "$kind: wrote outside of its folder"
  done
}

# with_page FOLDER: serves it instead. The first server stays.
with_page() {
  if [ -n "${first:-}" ]; then kill "$server"; fi
  first=${first:-$server}
  serve "$1"
  trap 'kill "$server" "$first" 2>/dev/null; rm -rf "$work"' EXIT
}

# rebuild LINE: $work/bad is a release with a program that runs this line of shell.
rebuild() {
  local top=remote-ollama-proxy-0.9.1-$target
  program "$work/made/$top/remote-ollama-proxy" <<<"$1"
  tar -C "$work/made" -czf "$work/bad/$top.tar.gz" "$top"
  sums "$work/bad"
}

# As an account without permission, with an old version of another's in place.
keeps_its_hands_off_without_permission() {
  local before
  prefix=$work/upgraded
  before=$(snapshot)
  if [ "$(id -u)" -eq 0 ]; then
    mkdir "$work/tmp" && chmod 1777 "$work/tmp"
    without_permission() { setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$path" TMPDIR="$work/tmp" HOME=/nonexistent \
      sh "$work/install.sh" --prefix "$prefix" --from "$page"; }
  else
    chmod -R a-w "$prefix"
    without_permission() { setup; }
  fi
  fails 1 "can't be written" without_permission
  unchanged "$before"
  chmod -R u+w "$prefix"
}

# The signal arrives while the last file is half written, which is the program.
leaves_the_old_version_when_interrupted() {
  local before
  prefix=$work/upgraded
  echo old >"$prefix/share/man/man1/remote-ollama-proxy.1"
  before=$(snapshot)
  mkdir "$work/slow"
  program "$work/slow/cp" <<'END'
case $2 in */bin/*) echo half >"$2" && kill -TERM "$PPID" ;; *) exec "${0%/*}/../bin/cp" "$@" ;; esac
END
  local code=0
  path=$work/slow:$work/bin setup >"$work/out" 2>&1 || code=$?
  [ "$code" -eq 130 ] || die "exited with $code after SIGTERM"
  unchanged "$before"
  succeeds "in place of 0.9.1" setup
}

# Stand-ins for cosign and gh write down what they are asked.
checks_signatures() {
  local before
  prefix=$work/upgraded
  before=$(snapshot)
  mkdir "$work/signs"
  program "$work/signs/cosign" <<'END'
echo "$*" >"${0%/*}/asked"
[ "$2" = status ] || [ ! -e "${0%/*}/refuse" ] || { echo "no matching attestation"; exit 1; }
END
  cp "$work/signs/cosign" "$work/signs/gh"
  path=$work/signs:$work/bin
  fails 1 ".sigstore.json: not downloaded" setup
  unchanged "$before"
  local target
  for target in "${targets[@]}"; do echo bundle >"$work/new/remote-ollama-proxy-0.9.1-$target.tar.gz.sigstore.json"; done
  succeeds "with cosign that the release workflow of example/remote-ollama-proxy signed it" setup
  grep -q -- "--certificate-identity https://github.com/example/remote-ollama-proxy/.github/workflows/release.yml@refs/tags/v0.9.1 --certificate-oidc-issuer https://token.actions.githubusercontent.com" \
    "$work/signs/asked" || die "cosign was asked something else"
  : >"$work/signs/refuse"
  fails 1 "cosign does not accept its signature: no matching attestation" setup
  succeeds "checksum only" setup --no-signature
  rm "$work/signs/cosign"
  fails 1 "gh does not accept its provenance: no matching attestation" setup
  unchanged "$before"
  rm "$work/signs/refuse"
  succeeds "with gh that the release workflow of example/remote-ollama-proxy made it" setup
  path=$work/bin
}

works_with_wget() {
  need wget "apt-get install wget, or on macOS brew install wget"
  rm "$work/bin/curl"
  fails 1 "neither is in PATH" setup
  ln -s "$(command -v wget)" "$work/bin/wget"
  prefix=$work/by-wget
  page=$page/cut fails 1 "not downloaded" setup
  [ ! -e "$prefix" ] || die "a failure created the prefix"
  succeeds "Installed" setup
}

main
