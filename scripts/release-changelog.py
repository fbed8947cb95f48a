#!/usr/bin/env python3
"""Prints the text of a release: release-changelog.py VERSION FILE

That is the version's section of the changelog. It must be the newest one, with a date and a list, and nothing may be left under Unreleased.
"""

import datetime
import re
import sys
from pathlib import Path

HEADING = re.compile(r"## (\d+\.\d+\.\d+)(?: - (.*))?")


def number(version):
    return [int(part) for part in version.split(".")]


def day(heading, date):
    """The date of a heading. One day ahead is today in another time zone."""
    try:
        found = datetime.date.fromisoformat(date) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", date or "") else None
    except ValueError:
        found = None
    if not found:
        sys.exit(f'error: CHANGELOG.md: "{heading}" has no date such as 2026-11-29')
    if found > datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1):
        sys.exit(f'error: CHANGELOG.md: "{heading}" has a date in the future')


def main():
    wanted, file = sys.argv[1:]
    sections = [("", [])]
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        # Markdown takes up to three blanks before a heading.
        if re.match(r" {0,3}##(?!#)", line):
            sections.append((line, []))
        else:
            sections[-1][1].append(line)
    found = []
    for heading, lines in sections[1:]:
        if heading == "## Unreleased":
            if any(line.strip() for line in lines):
                sys.exit(f"error: CHANGELOG.md: changes are listed under Unreleased; move them below the heading of {wanted}")
        elif match := HEADING.fullmatch(heading):
            day(heading, match[2])
            found.append((number(match[1]), heading, lines))
        else:
            sys.exit(f'error: CHANGELOG.md: "{heading}" is neither "## Unreleased" nor a version such as "## {wanted} - 2026-11-29"')
    if not found or found[0][0] != number(wanted):
        newest = found[0][1] if found else "none"
        sys.exit(
            f'error: CHANGELOG.md: the newest version is "{newest}", but the tag is v{wanted}; '
            f'give it a section "## {wanted} - YEAR-MONTH-DAY"'
        )
    for (above, heading, _), (below, other, _) in zip(found, found[1:]):
        if below == above:
            sys.exit(f'error: CHANGELOG.md: "{other}" is there twice')
        if below > above:
            sys.exit(f'error: CHANGELOG.md: "{other}" is below the older "{heading}"')
    _, heading, lines = found[0]
    if not any(re.match(r"[-*+] ", line) for line in lines):
        sys.exit(f'error: CHANGELOG.md: "{heading}" lists no change')
    print("\n".join(lines))


main()
