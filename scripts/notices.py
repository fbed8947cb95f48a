#!/usr/bin/env python3
"""Prints the licences of all Rust crates, Go modules and standard libraries in the binary, which must be distributed with it.

    notices.py [TARGET]    for a binary of another target than this machine's
"""

import html
import re
import sys

import linked

WANTED = re.compile(r"(licen[cs]e|copying|notice|copyright|patents|unlicense)([-._].*)?(?<!\.go)(?<!\.rs)(?<!\.[ch])", re.IGNORECASE)


def rust(part):
    """The notices of Rust's standard library as text, and the licences that they only name."""
    file = part.folder / "COPYRIGHT-library.html"
    if not file.is_file():
        sys.exit(f"error: {file}: is missing, so nothing says which notices Rust's standard library has; use the Rust of rustup.rs")
    page = file.read_text()
    named = {word for licence in re.findall(r"<b>License:</b>([^<]*)", page) for word in re.findall(r"[\w.-]+", licence)}
    text = html.unescape(re.sub(r"<style.*?</style>|<[^>]*>", "", page, flags=re.DOTALL))
    yield file.name, re.sub(r"\n(\s*\n)+", "\n\n", text)
    for licence in sorted((part.folder / "licenses").iterdir()):
        if licence.stem in named:
            yield f"licenses/{licence.name}", licence.read_text()


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
    library = linked.library()
    print(f"{'=' * 80}\n{library.name} {library.version}: {library.licence}\n")
    for name, text in rust(library):
        print(f"--- {name}\n{text.strip()}\n")
    if bare:
        sys.exit(f"error: nothing says under which licence these are: {', '.join(bare)}")


main()
