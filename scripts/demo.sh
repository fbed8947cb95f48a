#!/usr/bin/env bash
# Shows the proxy at work: a tailnet on loopback, a real Ollama with a toy model, and the proxy's binary. It needs no
# account, installs nothing, and removes everything at the end, also after Ctrl-C. `make demo` calls it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$root/scripts/tools.sh"
cd "$root"

main() {
  local began
  build
  began=$SECONDS
  start_ollama
  start_tailnet
  start_proxy
  start_devices

  show_streamed_answer
  show_refused_path
  show_refused_peer
  show_no_listener

  end
  heading "The demo took $((SECONDS - began)) s without the builds, and everything has been stopped. In your own tailnet:"
  cat <<'TEXT'
1. Run target/release/remote-ollama-proxy init. It writes a config and prints the next steps.
2. Allow peers: target/release/remote-ollama-proxy acl prints the entries for the tailnet policy file.
3. Create an auth key with tag:ai-server in the admin console, and store it in the file that init named.
4. Run target/release/remote-ollama-proxy doctor, then target/release/remote-ollama-proxy run.
5. On a device with tag:ai-client: curl http://remote-ollama-proxy:11434/v1/models
TEXT
}

# --- the parts --------------------------------------------------------------------------------------------------------

proxy=target/release/remote-ollama-proxy
testtailnet=target/testtailnet

build() {
  local minutes='' seconds=''
  if [ ! -x "$proxy" ]; then
    say "The first run builds three parts, in five to ten minutes on two idle cores."
    say "If you interrupt it, the next run continues."
    minutes=', two to four minutes' seconds=', about fifteen seconds'
  fi
  step "Part 1: the proxy (Rust, and Go for the tailnet node$minutes)" "$dir/build" cargo build --locked --release
  step "Part 2: the test tailnet (Go$seconds)" "$dir/build" make testtailnet
  say "Part 3: Ollama and a toy model"
  tests/ollama/ollama.sh models >/dev/null
  end_on_signals # `step` has reset the traps
}

start_ollama() {
  heading "An Ollama on loopback"
  start ollama '"url"' tests/ollama/ollama.sh run --preload slow "$dir/ollama"
  ollama_url=$(field url)
  ollama_pid=${said#*'"pid":'}
  ollama_pid=${ollama_pid%'}'}
  printf '%s\n' "$said"
}

start_tailnet() {
  heading "A private tailnet with the sample policy"
  shown "$testtailnet -policy acl/policy.hujson"
  start tailnet '"api"' "$testtailnet" -policy acl/policy.hujson -dir "$dir" -until-stdin-closes
  control=$(field control)
  api=$(field api)
  tailnet_pid=$started
  printf '%s\n' "$said"
}

start_proxy() {
  local key
  heading "The proxy joins it with an auth key for tag:ai-server"
  cat >"$dir/demo.toml" <<TOML
node.state_dir = "$dir/state"
node.control_url = "$control"
upstream.url = "$ollama_url"
TOML
  said=$(drive keys '{"tags": ["tag:ai-server"]}')
  key=$(field key)
  shown "${as_root}TS_AUTHKEY=tskey-auth-… $proxy run --config $dir/demo.toml"
  TS_AUTHKEY=$key start proxy 'listening in the tailnet' "$proxy" run --config "$dir/demo.toml"
  proxy_pid=$started
  in_the_background watch_over "$proxy_pid"
  printf '%s\n' "$said"
}

start_devices() {
  heading "Two devices: a laptop with tag:ai-client, and one of a user whom the policy does not name"
  drive clients '{"hostname": "laptop", "tags": ["tag:ai-client"]}'
  drive clients '{"hostname": "stranger", "user": "mallory@example.com"}'
  said=$(drive clients/laptop/forwards '{"to": "remote-ollama-proxy:11434"}')
  laptop=$(field listen)
  printf 'On a real device Tailscale carries the requests. Here %s forwards into the laptop.\n' "$laptop"
}

# --- the steps of the demo --------------------------------------------------------------------------------------------

show_streamed_answer() {
  heading "The laptop sends a request, and the answer streams through the tailnet word by word"
  try "curl -sN --connect-to ::$laptop http://remote-ollama-proxy:11434/v1/chat/completions \\
  -d '{\"model\": \"slow\", \"stream\": true, \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}' |
  grep --line-buffered -o '\"content\":\"[^\"]*\"'"
  expect Bye
}

show_refused_path() {
  heading "The laptop may not pull models, or send any other request that is not on the allowlist"
  try "curl -si --connect-to ::$laptop http://remote-ollama-proxy:11434/api/pull -d '{\"model\": \"llama3\"}'"
  printf '\n'
  expect '^HTTP/1.1 403'
}

show_refused_peer() {
  heading "The stranger gets no connection at all"
  try "curl -s $api/clients/stranger/dial -d '{\"to\": \"remote-ollama-proxy:11434\"}'"
  expect '"ok":false'
}

show_no_listener() {
  heading "There is no other way in: Ollama is on loopback, and the proxy listens on no TCP port of this machine"
  shown "lsof -nP -a -p $ollama_pid,$tailnet_pid,$proxy_pid -iTCP -sTCP:LISTEN    # Ollama, the tailnet, the proxy ($proxy_pid)"
  # lsof fails if one of the processes has no listener, as is the case here.
  lsof -nP -a -p "$ollama_pid,$tailnet_pid,$proxy_pid" -iTCP -sTCP:LISTEN | tee "$dir/output" || true
  expect " $ollama_pid .*127.0.0.1:"
  ! grep -q " $proxy_pid " "$dir/output" || die "the proxy has a listener"
  printf 'None of them belongs to %s.\n' "$proxy_pid"
}

# --- how it is shown --------------------------------------------------------------------------------------------------

if [ -t 1 ]; then
  bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
  bold='' dim='' plain=''
fi

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

shown() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; }

# try COMMAND_LINE: shows it and runs exactly that.
try() {
  shown "$1"
  eval "$1" | tee "$dir/output"
}

# expect PATTERN: ends the demo with an error unless the last output has PATTERN.
expect() {
  grep -q -- "$1" "$dir/output" || die "the output above lacks $1; this is a bug of the proxy or of the demo"
}

# drive ROUTE BODY: calls the test tailnet's API.
drive() { curl -sS --fail "$api/$1" -d "$2"; }

# field NAME: prints the text of that name in the JSON of `said`.
field() {
  local rest=${said#*"\"$1\":\""}
  printf '%s\n' "${rest%%'"'*}"
}

# --- processes --------------------------------------------------------------------------------------------------------

# Every process started here reads from a pipe that only this script holds open for writing. When this script ends, in
# whatever way, the pipe closes and the processes end.
dir=$(mktemp -d "${TMPDIR:-/tmp}/remote-ollama-proxy-demo.XXXXXX")
mkfifo "$dir/pipe"
exec 7<>"$dir/pipe"

# start NAME PATTERN COMMAND...: starts it and waits until it prints PATTERN; sets `started`, its process id, and `said`, the
# line.
start() {
  local name=$1 pattern=$2 log=$dir/$1.log
  shift 2
  in_the_background "$@" >"$log" 2>&1
  wait_for 60 said_or_ended || true
  said=$(grep -m 1 -e "$pattern" "$log") || {
    cat "$log" >&2
    die "$name: does not start; its output is above"
  }
}

# said_or_ended: whether the process that `start` started has printed its pattern, or has ended.
said_or_ended() { grep -q -e "$pattern" "$log" || ended "$started"; }

in_the_background() {
  "$@" <"$dir/pipe" 7>&- &
  started=$!
}

# watch_over PID: ends a process that does not read its standard input when ours closes.
watch_over() {
  cat >/dev/null
  kill "$1" 2>/dev/null || true
}

end() {
  exec 7>&-
  wait || true
  rm -rf "$dir"
}

end_on_signals() {
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

trap end EXIT
end_on_signals
# Variables of another proxy must not affect the demo's.
for name in $(compgen -e REMOTE_OLLAMA_PROXY_); do unset "$name"; done
# The demo may run as root, as in a container. A permanent proxy should not.
export REMOTE_OLLAMA_PROXY_AS_ROOT=1
as_root=
[ "$(id -u)" != 0 ] || as_root='REMOTE_OLLAMA_PROXY_AS_ROOT=1 ' # so that a copied line works
[ "${BASH_SOURCE[0]}" != "$0" ] || main # pictures.sh sources this file
