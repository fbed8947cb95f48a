#!/bin/sh
# Downloads a release of remote-ollama-proxy, checks it, and installs it below a prefix, without root:
#
#   sh install.sh [--version VERSION] [--prefix FOLDER] [--from URL] [--no-signature]
#
#   --version VERSION  such as 0.2.0; otherwise the latest release
#   --prefix FOLDER    otherwise ~/.local, or /usr/local for root
#   --from URL         a mirror of the release page: URL/download/vVERSION/FILE and URL/latest/download/SHA256SUMS
#   --no-signature     check the SHA-256 checksum only, even if cosign or gh is there
#
# An installed version stays in place and works until the new one is downloaded, checked and written as a whole. Files of an older version
# below share/doc/remote-ollama-proxy that the new one does not have are removed; that folder is this script's.
set -eu
umask 022 # what is installed is for every account
export LC_ALL=C

# A release has this file with the repository's owner filled in.
repository=OWNER/remote-ollama-proxy

name=remote-ollama-proxy

main() {
  version='' prefix='' from='' signature=yes
  while [ $# -gt 0 ]; do
    case $1 in
      --version | --prefix | --from)
        [ -n "${2:-}" ] || wrong_usage "$1: needs a value"
        case $1 in
          --version) version=${2#v} ;;
          --prefix) prefix=$2 ;;
          --from) from=${2%/} ;;
        esac
        shift 2
        ;;
      --no-signature) signature=no && shift ;;
      --help | -h) say "$usage" && exit ;;
      *) wrong_usage "$1: no such option" ;;
    esac
  done
  defaults
  target=$(target)

  work='' lock=''
  trap cleanup EXIT
  trap 'exit 130' INT HUP TERM
  work=$(mktemp -d "${TMPDIR:-/tmp}/$name-install.XXXXXX") || die "no temporary folder in ${TMPDIR:-/tmp}; set TMPDIR to a folder that you may write to"

  get_release
  check_signature
  unpack
  try
  put
  report
}

usage='usage: sh install.sh [--version VERSION] [--prefix FOLDER] [--from URL] [--no-signature]'

wrong_usage() {
  printf 'error: %s; %s\n' "$1" "$usage" >&2
  exit 2
}

say() { printf '%s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

defaults() {
  if [ -z "$from" ]; then
    [ "$repository" != "OWNER/$name" ] ||
      die "this copy of install.sh names no repository; use the one of a release, or --from URL"
    from=https://github.com/$repository/releases
  fi
  if [ -z "$prefix" ]; then
    if [ "$(id -u)" -eq 0 ]; then prefix=/usr/local; else prefix=${HOME:?}/.local; fi
  fi
  case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
  esac
}

target() {
  case $(uname -s)/$(uname -m) in
    Linux/x86_64) echo x86_64-unknown-linux-gnu ;;
    Linux/aarch64) echo aarch64-unknown-linux-gnu ;;
    Darwin/arm64) echo aarch64-apple-darwin ;;
    Darwin/x86_64) echo x86_64-apple-darwin ;;
    *) die "no release for $(uname -s) on $(uname -m); build it from source, as docs/install.md says" ;;
  esac
}

cleanup() {
  trap '' INT HUP TERM
  if [ -n "$work" ] && [ -f "$work/files" ]; then
    while IFS= read -r file; do rm -f "$prefix/$file.new-$$"; done <"$work/files"
  fi
  # Only the run that made the lock has its name here.
  [ -z "$lock" ] || rmdir "$lock" || :
  [ -z "$work" ] || rm -rf "$work"
}

# --- download and check -----------------------------------------------------------------------------------------------

# get_release: downloads the list of checksums and the archive into $work; sets `version` and `archive`.
get_release() {
  if [ -n "$version" ]; then
    get "$from/download/v$version/SHA256SUMS"
  else
    get "$from/latest/download/SHA256SUMS"
    version=$(sed -n "s/^[0-9a-f]\{64\} [ *]$name-\([0-9][0-9A-Za-z.+-]*\)-$target\.tar\.gz\$/\1/p" "$work/SHA256SUMS")
    [ -n "$version" ] || die "the latest release at $from has no archive for $target; build it from source, as docs/install.md says"
  fi
  archive=$name-$version-$target.tar.gz
  wanted=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
  [ -n "$wanted" ] || die "version $version at $from has no archive for $target; build it from source, as docs/install.md says"

  say "Downloading $archive"
  get "$from/download/v$version/$archive"
  if has sha256sum; then
    found=$(sha256sum <"$work/$archive")
  elif has shasum; then
    found=$(shasum -a 256 <"$work/$archive")
  else
    die "sha256sum and shasum: neither is in PATH, so the download can't be checked; install one of them"
  fi
  [ "${found%% *}" = "$wanted" ] ||
    die "$archive: the SHA-256 checksum is ${found%% *}, but SHA256SUMS says $wanted; nothing was installed. Try again; if it stays, report it"
}

# get URL: downloads it to $work, under its last name.
get() {
  to=$work/${1##*/} status=0
  if has curl; then
    case $1 in
      https:*) set -- "$1" --proto '=https' --tlsv1.2 ;;
      *) set -- "$1" ;;
    esac
    curl --fail --silent --show-error --location --connect-timeout 30 --output "$to" "$@" 2>"$work/said" || status=$?
  elif has wget; then
    case $(wget --version 2>/dev/null) in GNU*) set -- "$1" --tries=3 ;; esac
    wget -T 60 -O "$to" "$@" 2>"$work/said" || status=$?
  else
    die "curl and wget: neither is in PATH; install one of them"
  fi
  [ "$status" -eq 0 ] || die "$1: not downloaded: $(sed -e '/^ *$/d' "$work/said" | tail -n 1). Nothing was installed"
}

# check_signature: who made the archive, if a program that can tell is there.
check_signature() {
  checked=''
  [ "$signature" = yes ] && [ "$repository" != "OWNER/$name" ] || return 0
  workflow=$repository/.github/workflows/release.yml
  if has cosign; then
    get "$from/download/v$version/$archive.sigstore.json"
    cosign verify-blob --bundle "$work/$archive.sigstore.json" \
      --certificate-identity "https://github.com/$workflow@refs/tags/v$version" \
      --certificate-oidc-issuer https://token.actions.githubusercontent.com "$work/$archive" >"$work/said" 2>&1 ||
      die "$archive: cosign does not accept its signature: $(tail -n 1 "$work/said"). Nothing was installed"
    checked=cosign
  elif has gh && gh auth status >/dev/null 2>&1; then
    gh attestation verify "$work/$archive" --repo "$repository" --signer-workflow "$workflow" \
      --source-ref "refs/tags/v$version" >"$work/said" 2>&1 ||
      die "$archive: gh does not accept its provenance: $(tail -n 1 "$work/said"). Nothing was installed"
    checked=gh
  fi
}

# --- install ----------------------------------------------------------------------------------------------------------

# unpack: sorts what is in the archive into $work/tree, as it will be below the prefix.
unpack() {
  top=${archive%.tar.gz} tree=$work/tree share=$work/tree/share
  # A folder of its own, so that no member takes the place of a file in $work.
  unpacked=$work/x/$top
  mkdir "$work/x"
  (cd "$work/x" && tar -xzf "../$archive") 2>"$work/said" ||
    die "$archive: can't be unpacked: $(tail -n 1 "$work/said"). Nothing was installed"
  check_members
  mkdir -p "$tree/bin" "$share/man/man1" "$share/bash-completion/completions" "$share/fish/vendor_completions.d" \
    "$share/zsh/site-functions" "$share/doc"
  {
    mv "$unpacked/$name" "$tree/bin/" &&
      mv "$unpacked/man/$name"*.1 "$share/man/man1/" &&
      mv "$unpacked/completions/$name.bash" "$share/bash-completion/completions/$name" &&
      mv "$unpacked/completions/$name.fish" "$share/fish/vendor_completions.d/" &&
      mv "$unpacked/completions/_$name" "$share/zsh/site-functions/" &&
      rm -rf "$unpacked/man" "$unpacked/completions" &&
      mv "$unpacked" "$share/doc/$name" &&
      chmod 755 "$tree/bin/$name"
  } 2>"$work/said" || die "$archive: is not as expected: $(tail -n 1 "$work/said"). Nothing was installed"
}

# check_members: the archive has one folder, in it only plain files and folders with plain names, and files where files belong.
check_members() {
  unexpected="$archive: is not as expected"
  odd=$(find "$work/x" \( ! -type f ! -type d \) -o \( -type f -links +1 \)) || odd=unreadable
  [ -z "$odd" ] ||
    die "$unexpected: it has a link or another member that is neither a plain file nor a folder. Nothing was installed"
  odd=$(find "$work/x" -name '*[!A-Za-z0-9._+-]*') || odd=unreadable
  [ -z "$odd" ] ||
    die "$unexpected: it has a name with a character other than A-Z a-z 0-9 . _ + -. Nothing was installed"
  if [ "$(cd "$work/x" && find . ! -name . -prune)" != "./$top" ] || [ ! -d "$unpacked" ]; then
    die "$unexpected: it is not one folder $top. Nothing was installed"
  fi
  for file in "$unpacked/$name" "$unpacked/man/$name"*.1 "$unpacked/completions/$name.bash" \
    "$unpacked/completions/$name.fish" "$unpacked/completions/_$name"; do
    [ -f "$file" ] || die "$unexpected: ${file#"$unpacked/"} is not a file in it. Nothing was installed"
  done
}

# try: runs the new program, before it replaces another.
try() {
  status=0
  says=$("$tree/bin/$name" --version 2>&1) || status=$?
  case $status/$says/$target in
    0/*) ;;
    126/*"Permission denied"*)
      die "no program may run in ${TMPDIR:-/tmp}, which may be mounted noexec; set TMPDIR to a folder where programs may run. Nothing was installed"
      ;;
    *linux*) die "version $version does not run on this machine, it needs glibc 2.31 or newer: $says" ;;
    *) die "version $version does not run on this machine: $says" ;;
  esac
  [ "$says" = "$name $version" ] || die "the archive of version $version has a program that says \"$says\". Nothing was installed"
}

# put: writes every file next to its place, then renames all, the program last.
put() {
  take_lock
  old=$("$prefix/bin/$name" --version 2>/dev/null) || old=''
  (cd "$tree" && find share bin -type f) >"$work/files"
  while IFS= read -r file; do
    [ ! -d "$prefix/$file" ] || die "$prefix/$file: is a folder; nothing was installed"
    { mkdir -p "$prefix/${file%/*}" && cp "$tree/$file" "$prefix/$file.new-$$" && chmod "$(mode "$file")" "$prefix/$file.new-$$"; } \
      2>"$work/said" || die "$prefix/$file: can't be written: $(tail -n 1 "$work/said"). Choose another folder with --prefix; nothing was installed"
  done <"$work/files"
  # From here to the end no signal stops this script or its programs, so that the files of two versions don't mix. It takes a moment only.
  trap '' INT HUP TERM
  while IFS= read -r file; do
    mv -f "$prefix/$file.new-$$" "$prefix/$file" || die "$prefix/$file: can't be replaced; run this script again"
  done <"$work/files"
  remove_old
}

# take_lock: one run at a time writes below a prefix. The lock is in bin, since some may write there but not in the prefix itself.
take_lock() {
  taken=$prefix/bin/.$name-install
  trap '' INT HUP TERM # so that the lock is never there without its name in `lock`
  if mkdir -p "$prefix/bin" 2>"$work/said" && mkdir "$taken" 2>"$work/said"; then
    lock=$taken
  elif [ -d "$taken" ]; then
    die "$taken: is there, so another run of this script installs in $prefix now. Wait for it; if there is none, it was killed: rmdir \"$taken\". Nothing was installed"
  else
    die "$taken: can't be written: $(tail -n 1 "$work/said"). Choose another folder with --prefix; nothing was installed"
  fi
  trap 'exit 130' INT HUP TERM
}

# remove_old: what only the older version had in the folder of documents. A link there is someone else's, and is neither removed nor followed.
remove_old() {
  # shellcheck disable=SC2016 # the inner shell's variables
  (
    cd "$prefix"
    find "share/doc/$name" -type f -exec sh -c 'for file; do [ -f "$0/$file" ] || rm -f "$file" || exit; done' "$tree" {} +
  ) || say "Some files of the old version are left in $prefix/share/doc/$name"
  (cd "$prefix" && find "share/doc/$name" -depth -type d -exec rmdir {} +) 2>/dev/null || :
}

mode() { case $1 in bin/*) echo 755 ;; *) echo 644 ;; esac; }

report() {
  case $checked in
    cosign) say "Checked: the SHA-256 checksum, and with cosign that the release workflow of $repository signed it" ;;
    gh) say "Checked: the SHA-256 checksum, and with gh that the release workflow of $repository made it" ;;
    *) say "Checked: the SHA-256 checksum only. docs/verify.md says how to check the signature, with cosign or gh" ;;
  esac
  say "Installed $name $version in $prefix${old:+, in place of ${old#"$name "}}"
  case :$PATH: in
    *":$prefix/bin:"*) ;;
    *) say "Add it to PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
  esac
  if [ -n "$old" ]; then
    say "If it runs as a service, restart it with this version: $name service install"
  else
    say "Next: $name init"
  fi
}

# Last, so that an incomplete copy of this script does nothing.
main "$@"
