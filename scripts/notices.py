#!/usr/bin/env python3
"""Prints the licences of all Rust crates and Go modules in the binary, which must be distributed with it.

    notices.py [TARGET]    for a binary of another target than this machine's
"""

import re
import sys

import linked

WANTED = re.compile(r"(licen[cs]e|copying|notice|copyright|patents|unlicense)([-._].*)?(?<!\.go)(?<!\.rs)(?<!\.[ch])", re.IGNORECASE)


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else linked.host()
    bare = []
    crates, _ = linked.crates(target)
    for part in [c for c in crates if c.sha256] + list(linked.modules(target)):
        name = f"{part.name} {part.version}"
        folders = (part.folder, *part.inner)
        files = [f for folder in folders for f in sorted(folder.iterdir()) if f.is_file() and WANTED.fullmatch(f.name)]
        if not files and not part.licence:
            bare.append(name)
        print(f"{'=' * 80}\n{name}{': ' + part.licence if part.licence else ''}\n")
        for file in files:
            print(f"--- {file.relative_to(part.folder)}\n{file.read_text(errors='replace').strip()}\n")
    if bare:
        sys.exit(f"error: nothing says under which licence these are: {', '.join(bare)}")


main()
