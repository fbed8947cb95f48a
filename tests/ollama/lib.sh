# shellcheck shell=bash
# Functions that the scripts under tests/ share: messages, the cache's lock, progress, Python environments.
# Source this file. Messages go to standard error; standard output is for the scripts' results.

cache_root=${XDG_CACHE_HOME:-$HOME/.cache}/remote-ollama-proxy

# Lets an older Go download the version that a go.mod names, unless the environment variable decides. Go's own settings do
# not count: Debian's Go, for example, comes with GOTOOLCHAIN=local in its file.
export GOTOOLCHAIN=${GOTOOLCHAIN:-auto}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# need COMMAND WAY_OUT: ends the script with WAY_OUT as advice if COMMAND is missing.
need() {
  command -v "$1" >/dev/null || die "$1: not found in PATH; $2"
}

# lock: waits until no other process changes the cache. The lock belongs to file descriptor 9 and ends with this process.
# Start longer-lived processes with 9>&-. It uses Python, since macOS has no flock(1).
lock() {
  need python3 "install Python 3"
  mkdir -p "$cache_root"
  exec 9>>"$cache_root/lock"
  local take='import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[1] == "now" else 0))
except BlockingIOError:
    sys.exit(75)'
  if ! python3 -c "$take" now; then
    say "waiting for another process that changes $cache_root"
    python3 -c "$take" wait || die "$cache_root/lock: cannot be locked"
  fi
}

unlock() { exec 9>&-; }

# wait_for SECONDS COMMAND...: runs COMMAND until it succeeds; fails after SECONDS. It polls, because what another process
# does is no event for a shell.
wait_for() {
  local tries=$(($1 * 20))
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.05
  done
}

ended() { ! kill -0 "$1" 2>/dev/null; }

# step TITLE LOG COMMAND...: runs COMMAND with its output in LOG, reports every minute that it still runs, and on
# failure shows the end of LOG and ends the script.
step() {
  local title=$1 log=$2 began=$SECONDS child status=0 every=60
  [ ! -t 2 ] || every=15 # a person watches
  shift 2
  say "$title"
  set -m # a process group of its own, to end a compiler's many processes at once
  "$@" >"$log" 2>&1 </dev/null &
  child=$!
  set +m
  trap 'kill -TERM -- "-$child" 2>/dev/null; wait "$child" || true; exit 130' INT TERM HUP
  until wait_for "$every" ended "$child"; do say "  still running after $((SECONDS - began)) s"; done
  wait "$child" || status=$?
  trap - INT TERM HUP
  if [ "$status" -ne 0 ]; then
    tail -n 25 "$log" >&2
    die "$title: failed (status $status); the end of $log is above"
  fi
  say "  done in $((SECONDS - began)) s"
}

# venv REQUIREMENTS: prints the Python of a virtual environment in the cache that has REQUIREMENTS installed.
# The folder's name contains Python's version and a checksum of REQUIREMENTS; `complete` is written last. Hold the lock.
venv() {
  local requirements=$1 version sum folder
  need python3 "install Python 3.11 or newer"
  version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))') ||
    die "python3: is Python $version, but the packages of ${requirements##*/tests/} need 3.11; put a newer one first in PATH"
  sum=$(cksum <"$requirements")
  folder=$cache_root/venv-py$version-${sum%% *}
  if [ ! -e "$folder/complete" ] || ! "$folder/bin/python" -c '' 2>/dev/null; then
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 ||
      die "$folder: python3 cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"
    step "Installing the Python packages of ${requirements##*/tests/} (about half a minute)" "$folder/pip.log" \
      "$folder/bin/python" -m pip install --disable-pip-version-check --quiet --requirement "$requirements"
    : >"$folder/complete"
  fi
  printf '%s\n' "$folder/bin/python"
}
