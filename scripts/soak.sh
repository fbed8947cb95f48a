#!/usr/bin/env bash
# Ordinary work for a long time: prints what went wrong, and whether memory, descriptors or threads grew. `make soak`
# calls it. Fails if something did.
#
#   MINUTES=60 scripts/soak.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
minutes=${MINUTES:-60}
case $minutes in
  '' | *[!0-9]* | 0)
    echo "MINUTES must be a whole number from 1 on, and is \"$minutes\"" >&2
    exit 2
    ;;
esac
SOAK_MINUTES=$minutes exec "$root/scripts/torture.sh" soak::
