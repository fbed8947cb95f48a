#!/usr/bin/env bash
# Runs ordinary work for a long time, and prints errors and the growth of memory, descriptors and threads. `make soak` calls
# it. Fails after an error or growth.
#
#   MINUTES=60 scripts/soak.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
minutes=${MINUTES:-60}
case $minutes in
  '' | *[!0-9]* | 0)
    echo "MINUTES=$minutes: want a whole number, 1 or more" >&2
    exit 2
    ;;
esac
SOAK_MINUTES=$minutes exec "$root/scripts/torture.sh" soak::
