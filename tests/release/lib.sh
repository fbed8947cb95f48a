# shellcheck shell=bash
# Functions that the scripts in this folder share. Set `root`, then source this file.

# shellcheck source-path=SCRIPTDIR source=../ollama/lib.sh
. "${root:?}/tests/ollama/lib.sh"

# shellcheck disable=SC2034 # for the scripts
targets=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin x86_64-apple-darwin)

# begin: makes `work`, a folder that is removed at the end, with a blank in its name.
begin() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/release test.XXXXXX")
  chmod 755 "$work" # an unprivileged account reads in it
  server=''
  trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
}

# serve FOLDER: serves it as a release page does; sets `page`, its address.
serve() {
  mkfifo "$work/port"
  python3 "$root/tests/release/server.py" "$1" >"$work/port" &
  server=$!
  local port
  read -r port <"$work/port"
  rm "$work/port"
  # shellcheck disable=SC2034 # for the scripts
  page=http://127.0.0.1:$port
}

# archive FOLDER VERSION TARGET: writes into FOLDER what `make release` writes there for one target, with a script as the program.
archive() {
  local top=remote-ollama-proxy-$2-$3
  local made=$work/made/$top file
  mkdir -p "$1" "$made/man" "$made/completions"
  program "$made/remote-ollama-proxy" <<<"[ \"\$1\" = --version ] && echo remote-ollama-proxy $2"
  for file in man/remote-ollama-proxy.1 completions/{remote-ollama-proxy.bash,remote-ollama-proxy.fish,_remote-ollama-proxy} \
    third-party-licences; do
    echo "$file of $2" >"$made/$file"
  done
  cp -R "$root"/{LICENSE-MIT,LICENSE-APACHE,README.md,config.example.toml,acl,systemd,launchd} "$made/"
  tar -C "$work/made" -czf "$1/$top.tar.gz" "$top"
  echo '{"bomFormat": "CycloneDX"}' >"$1/$top.cdx.json"
  case $3 in
    x86_64*linux*) echo deb >"$1/remote-ollama-proxy_$2_amd64.deb" ;;
    aarch64*linux*) echo deb >"$1/remote-ollama-proxy_$2_arm64.deb" ;;
  esac
  sums "$1"
}

# program FILE: writes a shell script of the lines on standard input.
program() {
  { echo '#!/bin/sh' && cat; } >"$1"
  chmod 755 "$1"
}

# sums FOLDER: writes its SHA256SUMS.
sums() {
  (
    cd "$1" || exit
    rm -f SHA256SUMS
    if command -v sha256sum >/dev/null; then sha256sum -- *; else shasum -a 256 -- *; fi >"$work/sums"
    mv "$work/sums" SHA256SUMS
  )
}

# fails CODE TEXT COMMAND...: the command exits with CODE, and its only line on standard error contains TEXT.
fails() {
  local code=0
  "${@:3}" >"$work/out" 2>"$work/err" || code=$?
  if [ "$code" -ne "$1" ] || ! grep -qF -- "$2" "$work/err" || [ "$(wc -l <"$work/err")" -ne 1 ]; then
    cat "$work/out" "$work/err" >&2
    die "${*:3}: exited with $code; expected $1, and one line with \"$2\""
  fi
}

# succeeds TEXT COMMAND...: the command exits with 0 and its output contains TEXT.
succeeds() {
  if ! "${@:2}" >"$work/out" 2>"$work/err" || ! grep -qF -- "$1" "$work/out"; then
    cat "$work/out" "$work/err" >&2
    die "${*:2}: failed, or its output lacks \"$1\""
  fi
}
