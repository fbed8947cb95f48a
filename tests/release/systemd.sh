#!/usr/bin/env bash
# Boots a root of Debian with its systemd, installs the Debian package from target/dist there, and runs the proxy as a service of
# an ordinary account that lingers: with and without Ollama's service, through a crash, a reboot, a full and a stuck journal, to
# its removal. The root shares this machine's network, so that it reaches the test tailnet. As root, on Debian or Ubuntu.
#
#   tests/release/systemd.sh [SUITE]    default: bookworm
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../scripts/demo.sh
. "$root/scripts/demo.sh"
cd "$root"

suite=${1:-bookworm}
system=$dir/system
node=node-in-$suite
home=/home/person
config=$home/.config/remote-ollama-proxy
state=$home/.local/state/remote-ollama-proxy
drop_in=$home/.config/systemd/user/remote-ollama-proxy.service.d
uid=1000
unit=remote-ollama-proxy

main() {
  [ "$(id -u)" -eq 0 ] || die "systemd-nspawn(1) needs root"
  need mmdebstrap "apt-get install mmdebstrap"
  need systemd-nspawn "apt-get install systemd-container"
  package=$(ls target/dist/remote-ollama-proxy_*_"$(dpkg --print-architecture)".deb) || die "make release first"
  run make testtailnet
  program=$(tests/ollama/ollama.sh build)
  models=$(tests/ollama/ollama.sh models)
  start_ollama >/dev/null
  start_tailnet >/dev/null
  make_root
  boot

  installs
  answers_as_a_service
  shows_its_sandbox
  installs_where_namespaces_are_forbidden
  restarts_after_a_crash
  survives_a_reboot
  survives_a_full_journal
  survives_a_stuck_journal
  survives_without_a_journal
  runs_ollama_too
  uninstalls
  in_root systemctl poweroff
  wait_for 90 ended "$machine" || die "the system does not shut down"
  say "the package works under systemd in Debian $suite"
}

# --- the system ---------------------------------------------------------------------------------------------------------

make_root() {
  heading "Debian $suite"
  step "A fresh root with systemd" "$dir/build" mmdebstrap --variant=minbase --skip=cleanup/apt/lists \
    --include=systemd-sysv,dbus,dbus-user-session,libpam-systemd,ca-certificates "$suite" "$system"
  end_on_signals
  chroot "$system" useradd --create-home --uid "$uid" person
  cp "$package" "$system/package.deb"
  cp "$program" "$system/usr/local/bin/ollama"
  mkdir "$system$home/.ollama"
  cp -R "$models" "$system$home/.ollama/models"
  chroot "$system" chown -R person: "$home/.ollama"
}

# boot: starts its systemd and waits until that has started everything; sets `machine` and `leader`, the process ids outside.
boot() {
  local began=$SECONDS
  # Newer versions of systemd refuse to run without the unified hierarchy of control groups.
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 in_the_background systemd-nspawn --quiet --register=no --keep-unit --console=pipe --resolv-conf=copy-host \
    --directory "$system" --boot >"$dir/machine.log" 2>&1
  machine=$started
  leader=
  wait_for 120 has_booted || { tail -n 30 "$dir/machine.log" >&2 && die "$system: does not boot; the end of its console is above"; }
  say "booted in $((SECONDS - began)) s: $(in_root systemctl --version | head -n 1)"
}

has_booted() {
  ! ended "$machine" || die "$system: systemd-nspawn has ended: $(tail -n 3 "$dir/machine.log")"
  leader=$(cut -d ' ' -f 1 "/proc/$machine/task/$machine/children")
  [ -n "$leader" ] || return 1
  [[ $(in_root systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]
}

in_root() { nsenter --target "$leader" --mount --uts --ipc --pid -- "$@"; }

as_person() {
  in_root setpriv --reuid "$uid" --regid "$uid" --init-groups env -i HOME="$home" USER=person PATH=/usr/local/bin:/usr/bin:/bin \
    XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" "$@"
}

# Besides what scripts/demo.sh removes.
end_here() {
  if [ -n "${leader:-}" ] && ! ended "$machine"; then
    kill -KILL "$leader" || true
    wait_for 10 ended "$machine" || kill -KILL "$machine"
  fi
  end
}
trap end_here EXIT

# --- the service --------------------------------------------------------------------------------------------------------

installs() {
  heading "Install, as the README says"
  step "apt-get install ./package.deb" "$dir/build" in_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq ./package.deb
  end_on_signals
  ! in_root sh -c 'command -v lsof' || die "the root has lsof, but the review must work without it"
  in_root loginctl enable-linger person
  wait_for 60 as_person systemctl --user is-system-running >/dev/null || true # degraded is good enough
  as_person "$unit" init --hostname "$node" --upstream "$ollama_url" --control-url "$control" >/dev/null
  said=$(drive keys '{"tags": ["tag:ai-server"]}')
  printf '%s\n' "$(field key)" | as_person sh -c "umask 077 && cat >$config/key"
  service install
  drive clients '{"hostname": "laptop", "tags": ["tag:ai-client"]}' >/dev/null
  said=$(drive clients/laptop/forwards "{\"to\": \"$node:11434\"}")
  laptop=$(field listen)
}

answers_as_a_service() {
  heading "The service joins and answers"
  wait_for 60 answers || die "the service does not answer: $(log | tail -n 20)"
  ask /v1/models
  printf '\n'
  log | grep -E 'joined|listening' || true
  service status
  as_person "$unit" doctor | tee "$dir/output" || die "doctor finds faults, see above"
  expect 'listeners'
}

service() { as_person "$unit" service "$@" | tee "$dir/output"; }

# ask PATH [OPTION]...: a request of the laptop.
ask() { from_laptop "http://$node:11434$1" "${@:2}"; }

from_laptop() { curl -sS --fail --connect-to "::$laptop" "$@"; }

answers() { ask /v1/models --max-time 20 >/dev/null 2>&1; }

show() { as_person systemctl --user show --value --property "$1" "$unit"; }

log() { as_person journalctl --user --quiet --no-pager --unit "$unit"; }

# reaches NAME VALUE: whether a property of the unit has this value.
reaches() { [ "$(show "$1")" = "$2" ]; }

shows_its_sandbox() {
  heading "The sandbox is in force"
  in_root grep -E '^(NoNewPrivs|Seccomp):' "/proc/$(show MainPID)/status" | tee "$dir/output"
  expect 'NoNewPrivs:.*1'
  expect 'Seccomp:.*2'
  as_person systemd-analyze --user --no-pager security "$unit.service" | tail -n 1 >&2
  # A process of the unit tries what the unit forbids.
  as_person sh -c "cat >$drop_in/try.conf" <<<"[Service]
ExecStartPost=/bin/sh $home/try.sh"
  as_person sh -c "cat >$home/try.sh" <tests/release/sandbox.sh
  as_person mkdir "$home/.ssh"
  as_person sh "$home/try.sh"
  ! as_person grep -E 'refused: (a file|a look)' "$state/tried" || die "the lines above were refused outside of the sandbox too"
  as_person systemctl --user daemon-reload
  as_person systemctl --user restart "$unit" || die "the script failed: $(log | tail -n 5)"
  as_person cat "$state/tried" | tee "$dir/output"
  ! grep -v '^refused: ' "$dir/output" || die "the lines above were not refused"
  expect 'refused: a file in the home folder'
  as_person rm "$drop_in/try.conf" "$home/try.sh" "$state/tried"
  as_person systemctl --user daemon-reload
  as_person systemctl --user restart "$unit"
  wait_for 60 answers || die "it does not answer after a restart"
}

installs_where_namespaces_are_forbidden() {
  local forbidding=/etc/systemd/system/user@.service.d/forbid.conf
  heading "A system that forbids user namespaces to accounts, as of now"
  in_root sh -c "mkdir -p \${0%/*} && printf '[Service]\nRestrictNamespaces=~user\n' >\$0" "$forbidding"
  restart_manager
  wait_for 20 reaches ExecMainStatus 217 || die "the unit starts: $(show ActiveState)"
  service install
  expect 'not confined to its folders: systemd'
  wait_for 60 answers || die "it does not answer without the sandbox"
  in_root rm "$forbidding"
  restart_manager
  service install
  expect 'confined: it writes only to'
  wait_for 60 answers || die "it does not answer with the sandbox"
}

restart_manager() {
  in_root systemctl daemon-reload
  in_root systemctl restart "user@$uid"
}

restarts_after_a_crash() {
  local pid
  heading "A crash"
  pid=$(show MainPID)
  as_person sh -c "kill -KILL $pid"
  wait_for 20 reaches SubState auto-restart || die "systemd does not restart it: $(show SubState)"
  service status || [ "${PIPESTATUS[0]}" -eq 3 ] || die "service status: exited with another code"
  expect 'by signal 9'
  wait_for 60 answers || die "it does not answer after the crash"
  reaches NRestarts 1 || die "it was restarted $(show NRestarts) times"
  reaches RestartUSec 5s || die "it is restarted after $(show RestartUSec)"
}

survives_a_reboot() {
  heading "A reboot without a login"
  in_root systemctl reboot
  wait_for 90 ended "$machine" || die "the system does not shut down"
  boot
  [ -z "$(in_root loginctl list-sessions --no-legend)" ] || die "an account is logged in"
  wait_for 60 answers || die "it does not answer after the reboot"
}

survives_a_full_journal() {
  local kept
  heading "A full journal"
  journal_within 4m
  in_root sh -c 'cat /dev/zero >/var/log/journal/filler 2>/dev/null || cat /dev/zero >/run/log/journal/filler 2>/dev/null' || true
  asks_much 4000
  kept=$(in_root journalctl --quiet --no-pager "_SYSTEMD_USER_UNIT=$unit.service" | grep -c v1_models) || true
  [ "$kept" -lt 4000 ] || die "the journal is not full: it has all lines"
  say "the journal has kept $kept of 4000 lines"
  journal_back
}

survives_a_stuck_journal() {
  local journal tries=30 # the socket holds thousands of lines
  heading "A journal that reads nothing"
  journal=$(in_root systemctl show --value --property MainPID systemd-journald)
  in_root sh -c "kill -STOP $journal"
  until waits_for_the_journal; do
    asks_much 2000
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "the proxy does not wait for the journal"
  done
  asks_much 2000
  in_root sh -c "kill -CONT $journal"
}

# waits_for_the_journal: whether a thread of the proxy is in write(2), on standard error. The numbers are those of x86-64 and of aarch64.
waits_for_the_journal() { in_root sh -c "cat /proc/$(show MainPID)/task/*/syscall" | grep -qE '^(1|64) 0x2 '; }

survives_without_a_journal() {
  heading "A journal that does not start"
  journal_within 100k || true
  asks_much 1000
  as_person "$unit" status | tee "$dir/output" | grep '^log '
  expect '^log .* lines lost'
  journal_back
  as_person systemctl --user restart "$unit" # its standard error was closed
  wait_for 60 answers || die "it does not answer after a restart"
}

# journal_within SIZE: restarts the journal with this room for its files.
journal_within() {
  in_root sh -c "mkdir -p /var/log/journal /run/log/journal &&
    for folder in /var/log/journal /run/log/journal; do mount -t tmpfs -o size=$1 journal \$folder; done"
  in_root systemctl restart systemd-journald
}

journal_back() {
  in_root umount --lazy /var/log/journal /run/log/journal
  in_root systemctl reset-failed systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket
  in_root systemctl restart systemd-journald
}

# asks_much NUMBER: that many requests, which write as many lines to the log.
asks_much() {
  local answered sent
  for ((sent = 0; sent < $1; sent++)); do printf 'url = "http://%s:11434/v1/models"\n' "$node"; done >"$dir/requests"
  answered=$(from_laptop --no-progress-meter --parallel --config "$dir/requests" --write-out '\n%{http_code}\n' | grep -c '^200$') || true
  [ "$answered" -eq "$1" ] || die "of $1 requests $answered were answered"
  say "$1 requests were answered"
}

runs_ollama_too() {
  local port
  heading "Ollama as a service"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  as_person sed -i "s|^url = .*|url = \"http://127.0.0.1:$port\"|" "$config/config.toml"
  service install --with-ollama
  wait_for 60 answers || die "it does not answer: $(log | tail -n 20)"
  service status
  expect '^ollama  *installed'
  expect '^running  *yes.*'
  [ "$(as_person systemctl --user show --value --property ActiveState "$unit-ollama")" = active ] || die "Ollama's service does not run"
  ask /v1/chat/completions --data '{"model": "slow", "messages": [{"role": "user", "content": "Hello"}]}' | tee "$dir/output"
  printf '\n'
  expect '"content":"'
}

uninstalls() {
  heading "Stop, uninstall, purge"
  service stop
  reaches ActiveState inactive || die "it runs after a stop"
  service uninstall
  ! as_person find "$home/.config/systemd" -name "$unit*" | grep . || die "the units above are left"
  ! in_root sh -c 'cat /proc/[0-9]*/comm' | grep -E 'ollama' || die "the processes above are left"
  step "apt-get purge" "$dir/build" in_root apt-get purge --yes -qq "$unit"
  end_on_signals
  ! as_person systemctl --user list-unit-files --no-legend "$unit*" | grep . || die "the unit files above are left"
  ! in_root find / -xdev -path /var/log -prune -o -name "*$unit*" -not -path '/home/*' -print | grep -v '^/var/' ||
    die "the package leaves these files behind"
}

main
