#!/bin/sh
# Mails an event of remote-ollama-proxy to the address in the first argument. Needs jq, and sendmail or msmtp, which is set
# up to deliver mail from this account.
#
#     [events]
#     command = ["/usr/local/lib/remote-ollama-proxy/mail.sh", "you@example.com"]
set -eu

to=$1
PATH=$PATH:/usr/sbin:/usr/lib
mailer=$(command -v sendmail || command -v msmtp)

# The event's text has no line breaks, so it can't add a header.
mail=$(jq -r --arg to "$to" '
    "To: \($to)",
    "Subject: [\(.proxy)] \(.event)",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    .message,
    "",
    .')
printf '%s\n' "$mail" | "$mailer" -i -t
