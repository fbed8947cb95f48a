#!/usr/bin/env bash
# A real Ollama on loopback, for tests and the demo. See usage() below and README.md in this folder.
#
# Everything is in one folder per Ollama version below ${XDG_CACHE_HOME:-$HOME/.cache}/remote-ollama-proxy, shared by all
# clones. Each part is made in a temporary folder, under a lock, and then renamed, so that existing parts are complete.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

built_version=v0.17.4 # what `build` builds
models=(tiny slow)

usage() {
  cat <<'TEXT'
usage: ollama.sh COMMAND

  build                    get an Ollama ready and print the path of its program
  models                   also make the test models and print the folder that holds them
  start [OPTION]... DIR    start a server (after what `models` does) and print {"url":"http://127.0.0.1:PORT","pid":N}
                           once it answers; DIR is its own folder (log, home, process id), created if missing
  run [OPTION]... DIR      the same, but stay until standard input ends or a signal comes, then stop the server
  stop DIR                 stop the server that was started with DIR, and wait until it is gone

  --port N                 the port to listen on; default 0: any free one
  --preload MODEL          load MODEL before the server counts as started; may be repeated
  --parallel N             answer N requests of a model at once (OLLAMA_NUM_PARALLEL); default 1
  --queue N                let N requests wait while a model loads (OLLAMA_MAX_QUEUE); default: Ollama's
  --origins LIST           allow these browser origins too (OLLAMA_ORIGINS); default: Ollama's own

environment
  OLLAMA_BIN               the Ollama program to use, of any version. Without it: on macOS the one in PATH; on Debian and
                           Ubuntu v0.17.4 is built from its Go module, once (two to five minutes)
  OLLAMA_DEBUG             passed on to the server, unlike every other OLLAMA_* variable of the caller
TEXT
}

main() {
  local command=${1:-}
  [ $# -eq 0 ] || shift
  case $command in
    build)
      no_arguments "$@"
      find_ollama
      printf '%s\n' "$ollama"
      ;;
    models)
      no_arguments "$@"
      find_ollama
      find_models
      printf '%s\n' "$store"
      ;;
    start)
      start "$@"
      hand_over
      ;;
    run)
      start "$@"
      stay
      ;;
    stop) stop "$@" ;;
    help | -h | --help) usage ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
}

misused() {
  say "error: $*; see: ollama.sh help"
  exit 2
}

no_arguments() { [ $# -eq 0 ] || misused "$1: unexpected argument"; }

# --- the program ------------------------------------------------------------------------------------------------------

# Sets `ollama` (the program) and `cache` (the folder of its version).
find_ollama() {
  local version
  need curl "install curl"
  ollama=${OLLAMA_BIN:-}
  [ -n "$ollama" ] || [ "$(uname -s)" != Darwin ] || ollama=$(command -v ollama) ||
    die "ollama: not found in PATH; install Ollama, or set OLLAMA_BIN to its program"
  if [ -n "$ollama" ]; then
    # --version also asks a server for its version. Nothing listens on port 1, so it prints the program's.
    version=$(OLLAMA_HOST=127.0.0.1:1 HOME=/nonexistent "$ollama" --version 2>&1 |
      sed -n 's/.*version is \([0-9][0-9A-Za-z.+-]*\).*/v\1/p' | tail -n 1) || true
    [ -n "$version" ] || die "$ollama: prints no version, so it is no Ollama; set OLLAMA_BIN to one"
    cache=$cache_root/ollama-$version
  else
    cache=$cache_root/ollama-$built_version
    ollama=$cache/bin/ollama
    if [ ! -x "$ollama" ]; then
      lock
      if [ ! -x "$ollama" ]; then build; fi # while we waited, another process may have built it
      unlock
    fi
  fi
}

# Builds Ollama from its Go module. Go modules omit folders named vendor, which contain headers of the C++ code here:
# nlohmann-json and stb come from Debian's packages, and a stub replaces miniaudio.
build() {
  local module=github.com/ollama/ollama@$built_version work=$cache/build
  need apt-get "Ollama is built on Debian and Ubuntu only; elsewhere install it and set OLLAMA_BIN to its program"
  need go "install Go 1.24 or newer, or set OLLAMA_BIN to an Ollama program"
  need g++ "apt-get install g++, or set OLLAMA_BIN to an Ollama program"
  say "Building Ollama $built_version in $cache: two to five minutes on two cores, once for all clones"

  rm -rf "$work"
  mkdir -p "$work/include" "$work/packages"
  cp -R "$here/include/." "$work/include"
  add_headers nlohmann nlohmann-json3-dev
  add_headers stb libstb-dev
  step "Downloading Ollama's Go modules and compiling them (the long part)" "$work/go.log" \
    env GOBIN="$work/bin" GOFLAGS= CGO_ENABLED=1 CGO_CFLAGS=-O2 CGO_CXXFLAGS="-O1 -I$work/include" \
    nice go install -trimpath -ldflags "-s -w -X=github.com/ollama/ollama/version.Version=${built_version#v}" "$module"
  mkdir -p "$cache/bin"
  mv "$work/bin/ollama" "$cache/bin/ollama"
  rm -rf "$work"
}

# add_headers FOLDER PACKAGE: links FOLDER of /usr/include into the build, from PACKAGE if it is not installed.
add_headers() {
  if [ ! -d "/usr/include/$1" ]; then
    step "Fetching the headers of $2 (a few seconds)" "$work/packages/$2.log" fetch_package "$2" "$work/packages"
    ln -s "$work/packages/usr/include/$1" "$work/include/$1"
  else
    ln -s "/usr/include/$1" "$work/include/$1"
  fi
}

# fetch_package PACKAGE FOLDER: unpacks a Debian package below FOLDER. It needs root only if the machine has no package
# lists yet, for `apt-get update`.
fetch_package() {
  local as_root=()
  cd "$2"
  if ! apt-get download "$1"; then
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    ${as_root[@]+"${as_root[@]}"} apt-get update ||
      { say "the package lists cannot be read; run 'apt-get update' as root first" && return 1; }
    apt-get download "$1"
  fi
  dpkg-deb -x "$1"_*.deb .
}

# --- the models -------------------------------------------------------------------------------------------------------

# Sets `store`, the folder with the test models in Ollama's layout. Its name contains a checksum of the models' sources.
find_models() {
  local sum
  sum=$(cat "$here/make_model.py" "$here/Modelfile" "$here/requirements.txt" | cksum)
  store=$cache/models-${sum%% *}
  if [ ! -d "$store" ]; then
    lock
    if [ ! -d "$store" ]; then make_models; fi
    unlock
  fi
}

make_models() {
  local work=$cache/making-models python model
  rm -rf "$work"
  mkdir -p "$work/store"
  python=$(venv "$here/requirements.txt")
  say "Making the test models (about ten seconds)"
  serve "$work/server" "$work/store" 0
  for model in "${models[@]}"; do
    { printf 'FROM %s\n' "$work/$model.gguf" && cat "$here/Modelfile"; } >"$work/$model.modelfile"
    step "  $model: weights" "$work/$model.log" "$python" "$here/make_model.py" "$model" "$work/$model.gguf"
    step "  $model: import" "$work/$model.log" \
      env HOME="$work/server/home" OLLAMA_HOST="${url#http://}" "$ollama" create "$model" -f "$work/$model.modelfile"
    rm "$work/$model.gguf"
  done
  end_server
  mv "$work/store" "$store"
  rm -rf "$work"
}

# --- the server -------------------------------------------------------------------------------------------------------

url='' # of the server that this process has started and has to stop
pid='' # its process id, empty without a server
trap end_server EXIT

start() {
  local port=0 preload=() parallel='' queue='' origins='' run='' model
  while [ $# -gt 0 ]; do
    case $1 in
      --port | --preload | --parallel | --queue | --origins) [ $# -ge 2 ] || misused "$1: needs a value" ;;
      -*) misused "$1: unknown option" ;;
      *)
        [ -z "$run" ] || misused "$1: unexpected argument after the folder $run"
        run=$1
        shift
        continue
        ;;
    esac
    case $1 in
      --port) port=$2 ;;
      --preload) preload+=("$2") ;;
      --parallel) parallel=$2 ;;
      --queue) queue=$2 ;;
      --origins) origins=$2 ;;
    esac
    shift 2
  done
  [ -n "$run" ] || misused "start: a folder for the server is missing"
  number --port "$port" 0
  [ -z "$parallel" ] || number --parallel "$parallel" 1
  [ -z "$queue" ] || number --queue "$queue" 1
  if [ -e "$run/pid" ] && is_server "$(cat "$run/pid")"; then
    die "$run: a server that was started with this folder still runs (process $(cat "$run/pid")); stop it, or name another"
  fi

  find_ollama
  find_models
  mkdir -p "$run"
  run=$(cd "$run" && pwd)
  link_store "$store" "$run/models"
  serve "$run" "$run/models" "$port" OLLAMA_NUM_PARALLEL="$parallel" OLLAMA_MAX_QUEUE="$queue" OLLAMA_ORIGINS="$origins"
  for model in ${preload[@]+"${preload[@]}"}; do
    curl --silent --show-error --fail --output /dev/null --data "{\"model\":\"$model\"}" "$url/api/generate" ||
      die "--preload $model: cannot be loaded; see $run/server.log"
  done
}

# number OPTION VALUE LEAST
number() {
  case $2 in
    *[!0-9]* | '') misused "$1 $2: not a number" ;;
  esac
  if [ "$2" -lt "$3" ] || [ "$2" -gt 65535 ]; then misused "$1 $2: not within $3 and 65535"; fi
}

# Gives a server its own copy of the manifests and links to the weights, so that its changes do not affect other servers.
link_store() {
  rm -rf "$2"
  mkdir -p "$2/blobs"
  cp -Rp "$1/manifests" "$2/manifests"
  ln -s "$1"/blobs/* "$2/blobs"
}

# serve RUN STORE PORT [NAME=VALUE]...: starts a server and returns when it answers; sets `url` and `pid`.
serve() {
  local run=$1 store=$2 port=$3 name log=$1/server.log bound=''
  shift 3
  mkdir -p "$run/home"
  : >"$log" # answers_or_ended reads it
  set -m # its own process group: Ctrl-C on a terminal reaches only this script, which then stops the server
  (
    set +m
    exec 9>&-
    for name in $(compgen -e OLLAMA_); do
      [ "$name" = OLLAMA_DEBUG ] || unset "$name"
    done
    for name in "$@"; do
      [ -z "${name#*=}" ] || export "${name?}"
    done
    export HOME="$run/home" OLLAMA_MODELS="$store" OLLAMA_HOST="127.0.0.1:$port"
    # Keep models loaded, use no cloud, and delete no models.
    export OLLAMA_KEEP_ALIVE=-1 OLLAMA_NO_CLOUD=1 OLLAMA_NOPRUNE=1
    exec "$ollama" serve
  ) >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  printf '%s\n' "$pid" >"$run/pid"
  wait_for 60 answers_or_ended || die "ollama on port $port: does not answer after a minute; see $log"
  if ! alive "$pid"; then
    tail -n 5 "$log" >&2
    die "ollama on port $port: ended before it answered; the end of $log is above"
  fi
  url=http://127.0.0.1:$bound
}

# answers_or_ended: whether the server that `serve` starts answers or has ended; sets `bound`, its port.
answers_or_ended() {
  alive "$pid" || return 0
  bound=$(sed -n 's/.*Listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$log")
  [ -n "$bound" ] && curl --silent --fail --output /dev/null "http://127.0.0.1:$bound/api/version"
}

# Prints the server's line. From then on the caller has to stop it.
hand_over() {
  print_server
  pid=''
}

print_server() { printf '{"url":"%s","pid":%s}\n' "$url" "$pid"; }

stay() {
  local reader
  exec 3<&0
  cat <&3 >/dev/null &
  reader=$!
  trap 'kill "$reader" 2>/dev/null; exit 0' INT TERM HUP
  print_server
  wait "$reader" || true
}

stop() {
  [ $# -eq 1 ] || misused "stop: one folder is needed"
  [ -e "$1/pid" ] || die "$1: no server was started with this folder"
  pid=$(cat "$1/pid")
  if is_server "$pid"; then
    end_server
  else
    pid='' # it has already ended, and another process may have its number
  fi
  rm -f "$1/pid"
}

# Ends the server `pid` and waits for it. KILL would leave its model runners behind.
end_server() {
  local ending=$pid
  pid=''
  if [ -z "$ending" ] || ! kill -TERM "$ending" 2>/dev/null; then return; fi
  wait_for 30 dead "$ending" ||
    die "ollama, process $ending: does not end within 30 seconds after TERM; end it by hand"
}

dead() { ! alive "$1"; }

# alive PID: whether the process runs. A zombie does not count.
alive() {
  local state
  if [ -r /proc/self/stat ]; then
    state=$(sed 's/^.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 1
  else
    state=$(ps -o state= -p "$1") || return 1
  fi
  [[ $state != Z* ]]
}

# is_server PID: whether the process runs and is an Ollama server.
is_server() {
  local line
  if [ -r /proc/self/cmdline ]; then
    line=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
  else
    line=$(ps -o command= -p "$1") || return 1
  fi
  [[ $line == *" serve"* ]]
}

main "$@"
