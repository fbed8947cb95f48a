#!/bin/sh
# Shows an event of remote-ollama-proxy as a desktop notification on Linux. Needs jq and notify-send (Debian: jq,
# libnotify-bin). The proxy has to run in the account and session of the desktop, as its systemd user unit does.
#
#     [events]
#     command = ["/usr/local/lib/remote-ollama-proxy/desktop-linux.sh"]
set -eu

# The text may hold names that a user of the tailnet chose, and notification servers read "<" as markup.
message=$(jq -r '.message | @html')
exec notify-send --app-name=remote-ollama-proxy -- "Ollama in the tailnet" "$message"
