# shellcheck shell=sh
# Tries what the sandbox of the unit forbids, as a process of the unit; systemd.sh runs it so. Writes into the state folder
# one line for each attempt.
tried=$HOME/.local/state/remote-ollama-proxy/tried
: >"$tried" || exit 1

# refused WHAT COMMAND...
refused() {
  what=$1
  shift
  if "$@" 2>/dev/null; then echo "allowed: $what"; else echo "refused: $what"; fi >>"$tried"
}

create() { true >"$1"; }

refused "a file in the home folder" create "$HOME/created"
refused "a file in the folder of the config" create "$HOME/.config/remote-ollama-proxy/created"
refused "a unit of the account" create "$HOME/.config/systemd/user/created.service"
refused "a file in /tmp" create /tmp/created
refused "a file in /var/tmp" create /var/tmp/created
refused "a file in XDG_RUNTIME_DIR" create "$XDG_RUNTIME_DIR/created"
refused "a look into .ssh" ls "$HOME/.ssh"
refused "a setuid program" chmod u+s "$tried"
refused "a user namespace" unshare --user true
refused "another personality" setarch --addr-no-randomize true
refused "a mount" mount -t tmpfs tmpfs /mnt
refused "the kernel's log" dmesg
refused "a kernel setting" sh -c 'echo 1 >/proc/sys/kernel/printk'
