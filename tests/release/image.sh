#!/usr/bin/env bash
# Makes the container image with scripts/image.sh from target/dist, on a base made here instead of a registry's, and runs it as
# docs/install.md says: not as root, without capabilities, with a volume, a config and a key. It joins the test tailnet, answers a
# request, ends in an orderly way, and starts again without the key.
#
#   tests/release/image.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=use.sh
. "$root/tests/release/use.sh"
cd "$root"

main() {
  need podman "apt-get install podman runc"
  need runc "apt-get install runc"
  need mmdebstrap "apt-get install mmdebstrap"
  own_podman
  surroundings
  heading "The image"
  step "A base: Debian 12" "$dir/build" mmdebstrap --variant=minbase bookworm "$dir/base.tar"
  end_on_signals
  podman import --quiet "$dir/base.tar" localhost/base:made-here >/dev/null
  rm "$dir/base.tar"
  run scripts/image.sh target/dist "$dir/image.tar.gz" localhost/base:made-here
  # What the file has, not what the build left behind.
  podman rmi --force localhost/remote-ollama-proxy:release >/dev/null
  gunzip --stdout "$dir/image.tar.gz" | podman load --quiet
  runs
  say "the image works"
}

# own_podman: podman keeps everything below $dir. It works without the right to raise limits, and with the control groups that a machine
# may have: crun refuses some combinations of both versions.
own_podman() {
  export CONTAINERS_STORAGE_CONF=$dir/storage.conf CONTAINERS_CONF=$dir/containers.conf
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/containers"\nrunroot = "%s/run"\n' "$dir" "$dir" >"$CONTAINERS_STORAGE_CONF"
  printf '[containers]\ndefault_ulimits = []\n[engine]\nruntime = "runc"\n' >"$CONTAINERS_CONF"
}

runs() {
  cat >"$dir/config.toml" <<TOML
node.hostname = "contained"
node.control_url = "$control"
node.auth_key_file = "/key"
upstream.url = "$ollama_url"
TOML
  auth_key | podman secret create key - >/dev/null
  contain --secret key,target=/key,uid=10001,gid=10001,mode=0400
  laptop_asks contained
  [ "$(podman exec contained id -u)" = 10001 ] || die "the container does not run as user 10001"
  podman exec contained grep CapEff /proc/1/status | grep -q '	0*$' || die "the proxy has capabilities"
  podman exec contained remote-ollama-proxy doctor || die "doctor finds faults, see above"
  stops
  # The volume has the node's keys.
  sed -i '/auth_key_file/d' "$dir/config.toml"
  contain
  try "curl -sS --fail --connect-to ::$laptop http://contained:11434/v1/models"
  expect '"slow:latest"'
  stops
}

# contain OPTION...: starts it.
contain() {
  start contained 'listening in the tailnet' podman run --rm --name contained --network host --volume state:/state \
    --volume "$dir/config.toml:/config.toml:ro" --env REMOTE_OLLAMA_PROXY_CONFIG=/config.toml \
    --read-only --cap-drop all --security-opt no-new-privileges "$@" localhost/remote-ollama-proxy:release
}

# `podman stop` sends TERM, and KILL after the time.
stops() {
  podman stop --time 60 contained >/dev/null
  local code=0
  wait "$started" || code=$?
  tail -n 3 "$dir/contained.log"
  [ "$code" -eq 0 ] || die "the container ended with $code"
}

# Besides what scripts/demo.sh removes.
end_here() {
  if [ -e "$dir/containers" ]; then
    podman rm --all --force >/dev/null 2>&1 || true
    # Layers have files and mounts that rm alone can't remove.
    podman system reset --force >/dev/null 2>&1 || true
  fi
  end
}
trap end_here EXIT

main
