# shellcheck shell=bash
# How the scripts in this folder use the proxy that they have installed. Set `root`, source this file, and define
# `as_person COMMAND...`, which runs a command where the proxy is installed, as an ordinary account.

# shellcheck source-path=SCRIPTDIR source=../../scripts/demo.sh
. "${root:?}/scripts/demo.sh"

# surroundings: a real Ollama and a test tailnet.
surroundings() {
  run make testtailnet
  run tests/ollama/ollama.sh models >/dev/null
  start_ollama >/dev/null
  start_tailnet >/dev/null
}

# answers_a_request NODE: a config, a review, a place in the tailnet, one request, doctor, and an orderly end.
answers_a_request() {
  as_person remote-ollama-proxy version
  as_person remote-ollama-proxy init --hostname "$1" --upstream "$ollama_url" --control-url "$control" >/dev/null
  # shellcheck disable=SC2016 # the person's shell
  auth_key | as_person sh -c 'umask 077 && cat >~/.config/remote-ollama-proxy/key'
  as_person remote-ollama-proxy check | grep credential
  # shellcheck disable=SC2016
  start "$1" 'listening in the tailnet' as_person sh -c 'echo $$ >~/pid && exec remote-ollama-proxy run'
  laptop_asks "$1"
  as_person remote-ollama-proxy doctor | tee "$dir/output" || die "doctor finds faults, see above"
  # shellcheck disable=SC2016
  as_person sh -c 'kill "$(cat ~/pid)"'
  wait "$started" || die "the proxy ended with $?"
}

# auth_key: prints a new one.
auth_key() {
  said=$(drive keys '{"tags": ["tag:ai-server"]}')
  printf '%s\n' "$(field key)"
}

# laptop_asks NODE: a new device of the tailnet asks the node for Ollama's models.
laptop_asks() {
  drive clients "{\"hostname\": \"laptop-of-$1\", \"tags\": [\"tag:ai-client\"]}" >/dev/null
  said=$(drive "clients/laptop-of-$1/forwards" "{\"to\": \"$1:11434\"}")
  laptop=$(field listen)
  try "curl -sS --fail --connect-to ::$laptop http://$1:11434/v1/models"
  expect '"slow:latest"'
  printf '\n'
}
