#!/usr/bin/env bash
# Runs every query of packaging/grafana against a real Prometheus, which scrapes a running proxy through a tailnet: the test
# tailnet, a real Ollama, the proxy's binary. Then it stops Ollama and sees that the alert rule for that notices.
#
#   tests/dashboards/live.sh                  builds what it needs
#   tests/dashboards/live.sh PROXY            with this program
#   PICTURE=FILE.png tests/dashboards/live.sh also takes a screenshot of Prometheus' own page (Chromium)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../scripts/demo.sh
. "$root/scripts/demo.sh"
cd "$root"
proxy=${1:-target/debug/remote-ollama-proxy}
here=tests/dashboards

main() {
  need prometheus "apt-get install prometheus, or on macOS brew install prometheus"
  [ "${1:-}" ] || run cargo build --locked
  run make testtailnet
  run tests/ollama/ollama.sh models >/dev/null
  start_ollama >/dev/null
  start tailnet '"api"' "$testtailnet" -policy "$here/policy.json" -dir "$dir" -until-stdin-closes
  control=$(field control) api=$(field api)
  start_node
  start_prometheus
  device laptop '"tags": ["tag:ai-client"]'
  device alices-phone '"user": "alice@example.com"'
  work
  python3 "$here/live.py" "$prometheus_url" queries
  [ -z "${PICTURE:-}" ] || picture
  stop_ollama
  say "every query of the dashboard and the alert rules works"
}

# Prometheus asks for the forwarded address on loopback, so the proxy has to accept that name.
start_node() {
  cat >"$dir/demo.toml" <<TOML
node.state_dir = "$dir/state"
node.control_url = "$control"
upstream.url = "$ollama_url"
metrics.port = 9090
http.hosts = ["127.0.0.1"]
metrics.usage = true
limits.running = 1
limits.waiting = 1
TOML
  said=$(drive keys '{"tags": ["tag:ai-server"]}')
  TS_AUTHKEY=$(field key) start proxy 'listening in the tailnet' "$proxy" run --config "$dir/demo.toml"
  in_the_background watch_over "$started"
  drive nodes/remote-ollama-proxy/key-expiry '{"in": "72h"}' >/dev/null
}

# The port of a free listener, which Prometheus takes a moment later: it can't choose one by itself.
start_prometheus() {
  local port
  drive clients '{"hostname": "monitor", "tags": ["tag:ai-metrics"]}' >/dev/null
  said=$(drive clients/monitor/forwards '{"to": "remote-ollama-proxy:9090"}')
  sed -e "s|TARGET|$(field listen)|" -e "s|RULES|$root/packaging/grafana/alerts.yml|" "$here/prometheus.yml" >"$dir/prometheus.yml"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  prometheus_url=http://127.0.0.1:$port
  start prometheus 'ready to receive web requests' prometheus --config.file "$dir/prometheus.yml" \
    --storage.tsdb.path "$dir/tsdb" --web.listen-address "127.0.0.1:$port"
  in_the_background watch_over "$started"
}

device() {
  drive clients "{\"hostname\": \"$1\", $2}" >/dev/null
  said=$(drive "clients/$1/forwards" '{"to": "remote-ollama-proxy:11434"}')
  field listen >"$dir/$1.listen"
}

# --- requests ---------------------------------------------------------------------------------------------------------

# Twice each, with a scrape between them: a rate needs a series that grows.
work() {
  local turn
  for turn in 1 2; do
    ask laptop v1/chat/completions '{"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}'
    ask alices-phone v1/chat/completions '{"model": "tiny", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
    ask laptop v1/messages '{"model": "tiny", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}'
    ask laptop api/tags ''
    ask laptop api/pull '{"model": "tiny"}'
    ask laptop unheard/of ''
    cut "guest-$turn"
    until_seen "remote_ollama_proxy_requests_total{ended=\"revoked\"} >= $turn"
  done
  # One runs, one waits, one is refused.
  endless laptop
  until_seen 'remote_ollama_proxy_running == 1'
  endless alices-phone
  until_seen 'remote_ollama_proxy_waiting == 1'
  ask alices-phone v1/chat/completions '{"model": "slow", "messages": []}'
  until_seen 'remote_ollama_proxy_refused_total{rule="queue-full"} == 1'
}

# ask DEVICE PATH BODY: sends a request and waits for the answer, whatever its status.
ask() { send "$@" || die "$1 got no answer from /$2"; }

# send DEVICE PATH BODY: without a body, GET.
send() {
  curl -s --output /dev/null --connect-to "::$(<"$dir/$1.listen")" "http://remote-ollama-proxy:11434/$2" ${3:+--data "$3"}
}

# The model "slow" never ends its answer to "Hello!".
endless() {
  in_the_background send "$1" v1/chat/completions '{"model": "slow", "stream": true, "max_tokens": 100000, "messages": [{"role": "user", "content": "Hello!"}]}'
}

# cut DEVICE: removes it from the tailnet in the middle of its answer.
cut() {
  device "$1" '"tags": ["tag:ai-client"]'
  endless "$1"
  until_seen 'remote_ollama_proxy_running == 1'
  curl -sS --fail -X DELETE "$api/nodes/$1" >/dev/null
}

# A minute of requests, so that the graphs have a shape. Prometheus' own page shows two queries of the dashboard.
picture() {
  local until=$((SECONDS + 60)) query address="$prometheus_url/graph?" n=0
  while [ "$SECONDS" -lt "$until" ]; do
    ask laptop api/tags ''
    ask alices-phone v1/chat/completions '{"model": "slow", "messages": []}'
    [ $((SECONDS % 20)) -lt 10 ] || ask laptop api/pull '{"model": "tiny"}'
    sleep 0.2
  done
  for query in "Requests by identity" "Refusals by rule"; do
    address+=$(python3 "$here/live.py" "$prometheus_url" address "$query" "$n")
    n=$((n + 1))
  done
  chromium --headless --no-sandbox --hide-scrollbars --window-size=1000,1640 --virtual-time-budget=10000 \
    --screenshot="$PICTURE" "$address" >/dev/null 2>&1
  python3 scripts/shrink-png.py "$PICTURE"
}

stop_ollama() {
  kill "$ollama_pid"
  python3 "$here/live.py" "$prometheus_url" alert RemoteOllamaProxyOllamaDown
}

until_seen() { python3 "$here/live.py" "$prometheus_url" seen "$1"; }

main "$@"
