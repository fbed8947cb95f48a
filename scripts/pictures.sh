#!/usr/bin/env bash
# Makes the pictures of terminals in docs/pictures/ from real runs; `make pictures` calls it, on Linux. The runs are in
# namespaces of their own, so that no address, account, process id or path of this machine gets into a picture.
# architecture.svg is drawn by hand.
#
#   scripts/pictures.sh                      all
#   scripts/pictures.sh [demo|doctor|top]... some
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pictures=docs/pictures
columns=120

main() {
  local what=("$@")
  [ $# -gt 0 ] || what=(demo doctor top)
  if [ "${PICTURES_PYTHON:-}" ]; then
    inside "${what[@]}"
    return
  fi
  # shellcheck source-path=SCRIPTDIR source=tools.sh
  . "$root/scripts/tools.sh"
  cd "$root"
  [ "$(uname -s)" = Linux ] || die "pictures are made on Linux only"
  need unshare "install util-linux"
  need tmux "apt-get install tmux"
  # All that needs the network.
  cargo build --locked --release
  make testtailnet
  tests/ollama/ollama.sh models >/dev/null
  lock
  PICTURES_PYTHON=$(venv "$pictures/requirements.txt")
  unlock
  export PICTURES_PYTHON XDG_CACHE_HOME="${cache_root%/*}"
  # Root in there has an address and a disk set up; what is in the pictures runs as an ordinary account.
  # shellcheck disable=SC2016 # $0 and $@ are the inner shell's
  unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc bash -euc '
    ip link set lo up
    ip address add 192.168.1.20/24 dev lo
    mount -t tmpfs -o size=64g,mode=755 tmpfs /srv
    mkdir /srv/ai
    printf "%s\n" root:x:0:0::/root:/bin/sh ai:x:1000:1000::/srv/ai:/bin/sh >/srv/passwd
    mount --bind /srv/passwd /etc/passwd
    ulimit -n 8192
    exec unshare --user --map-user=1000 --map-group=1000 "$0" "$@"' "$root/scripts/pictures.sh" "${what[@]}"
}

inside() {
  local picture
  # shellcheck source-path=SCRIPTDIR source=demo.sh
  . "$root/scripts/demo.sh"
  export PATH=$root/target/release:$PATH
  trap 'terminal kill-server 2>/dev/null || true; end' EXIT
  for picture in "$@"; do
    say "$pictures/$picture.svg"
    "picture_$picture"
  done
}

# --- the pictures -----------------------------------------------------------------------------------------------------

# Without what comes before and after that which it shows.
picture_demo() {
  open 400 'make demo' env -u PICTURES_PYTHON scripts/demo.sh
  until_shown 'and all of it has ended' 600
  capture | sed -n '/== The laptop asks/,/^None is of/p' | draw demo "make demo" \
    "A laptop's question is answered word by word through the tailnet; its request to pull a model gets 403; a stranger gets no connection; the proxy listens on no TCP port"
  terminal kill-server
}

picture_doctor() {
  everything
  open 45 'remote-ollama-proxy doctor' "${account[@]}" remote-ollama-proxy doctor
  until_shown " good, " 30
  capture | draw doctor "remote-ollama-proxy doctor" \
    "One line for each check: most are good; an old Ollama is a warning, with what to do about it"
  terminal kill-server
}

picture_top() {
  everything
  device alices-phone '"user": "alice@example.com"'
  device guest-pc '"user": "guest@example.com"'
  # Alternately, so that some have their turn and some wait.
  ask laptop v1/chat/completions
  sleep 4
  ask build-3 v1/chat/completions
  sleep 3
  ask alices-phone v1/messages
  sleep 5
  ask laptop v1/responses
  sleep 1
  ask laptop v1/chat/completions
  ask guest-pc v1/chat/completions
  open 11 '' "${account[@]}" remote-ollama-proxy top
  until_shown '4 running, 2 waiting' 30
  sleep 5 # rates are known from the second look on
  terminal send-keys Down
  sleep 1
  capture | draw top "remote-ollama-proxy top" \
    "A table of four running and two waiting requests: who asks for what, for how long, and how fast; the second is chosen"
  terminal kill-server
}

# --- what they show ---------------------------------------------------------------------------------------------------

account=(env -u XDG_STATE_HOME -u XDG_CONFIG_HOME -u REMOTE_OLLAMA_PROXY_AS_ROOT HOME=/srv/ai)

# everything: the demo's tailnet and devices around a proxy that is set up as an account would have it.
everything() {
  local config=/srv/ai/.config/remote-ollama-proxy/config.toml
  [ ! -e "$config" ] || return 0
  mkdir -p "${config%/*}"
  start ollama '"url"' tests/ollama/ollama.sh run --port 11434 --parallel 4 --preload slow "$dir/ollama"
  start_tailnet >/dev/null
  printf 'node.control_url = "%s"\n' "$control" >"$config"
  said=$(drive keys '{"tags": ["tag:ai-server"]}')
  TS_AUTHKEY=$(field key) start proxy 'listening in the tailnet' "${account[@]}" remote-ollama-proxy run
  in_the_background watch_over "$started"
  device laptop '"tags": ["tag:ai-client"]'
  device build-3 '"tags": ["tag:ai-ci"]'
}

device() {
  drive clients "{\"hostname\": \"$1\", $2}" >/dev/null
  said=$(drive "clients/$1/forwards" '{"to": "remote-ollama-proxy:11434"}')
  field listen >"$dir/$1.listen"
}

# ask DEVICE PATH: has it ask for an answer without an end.
ask() {
  local body='"model": "slow", "stream": true, "max_tokens": 100000'
  case $2 in
    v1/responses) body='"model": "slow", "stream": true, "max_output_tokens": 100000, "input": "Hello!"' ;;
    *) body="$body, \"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}]" ;;
  esac
  in_the_background curl -sN --output /dev/null --connect-to "::$(<"$dir/$1.listen")" "http://remote-ollama-proxy:11434/$2" -d "{$body}"
}

# --- the terminal -----------------------------------------------------------------------------------------------------

terminal() { tmux -L "pictures-$$" -f /dev/null "$@"; }

# open LINES PROMPTED COMMAND...: runs it on a terminal of that size, below the line that somebody would have typed.
open() {
  local lines=$1 prompted=$2
  shift 2
  # shellcheck disable=SC2016 # the inner shell's
  terminal new-session -d -x "$columns" -y "$lines" env -u NO_COLOR \
    bash -c '[ -z "$0" ] || printf "\033[2m$ %s\033[0m\n" "$0"; "$@"; exec sleep 600' "$prompted" "$@" 7>&-
}

# until_shown TEXT SECONDS
until_shown() {
  local tries=0
  until terminal capture-pane -p | grep -qF -- "$1"; do
    tries=$((tries + 1))
    if [ "$tries" -gt $((5 * $2)) ]; then
      terminal capture-pane -p >&2
      die "the terminal does not show: $1"
    fi
    sleep 0.2
  done
}

capture() { terminal capture-pane -e -p -N; }

# draw NAME TITLE DESCRIPTION
draw() {
  "$PICTURES_PYTHON" scripts/picture.py "$columns" "$2" "$3" >"$dir/picture"
  mv "$dir/picture" "$pictures/$1.svg"
}

main "$@"
