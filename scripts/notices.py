#!/usr/bin/env python3
"""Prints the licences of all Rust crates and Go modules in the binary, which must be distributed with it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WANTED = re.compile(r"(licen[cs]e|copying|notice|copyright|patents|unlicense)([-._].*)?", re.IGNORECASE)

# As in tests/ollama/lib.sh: this script also runs on its own.
if not os.environ.get("GOTOOLCHAIN"):
    os.environ["GOTOOLCHAIN"] = "auto"


def lines(*command, folder=ROOT):
    return subprocess.run(command, cwd=folder, check=True, text=True, capture_output=True).stdout.splitlines()


def crates():
    """Name, licence and folder of each crate that is linked."""
    metadata = json.loads("\n".join(lines("cargo", "metadata", "--locked", "--format-version", "1")))
    packages = {f"{p['name']} v{p['version']}": p for p in metadata["packages"]}
    linked = lines("cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}")
    for name in sorted({" ".join(line.split()[:2]) for line in linked}):
        package = packages[name]
        if package["source"]:
            yield name, package["license"], Path(package["manifest_path"]).parent


def modules():
    """The same for Go modules, whose licence files name their licence, and for Go itself."""
    folder = ROOT / "vendor/libtailscale"
    tags = ",".join((folder / "build-tags.txt").read_text().split())
    form = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}"
    for line in sorted(set(lines("go", "list", "-deps", "-tags", tags, "-f", form, "./...", folder=folder))):
        if line:
            name, found = line.split("\t")
            yield name, None, Path(found)
    yield "Go's standard library", None, Path(lines("go", "env", "GOROOT", folder=folder)[0])


def main():
    bare = []
    for name, licence, folder in [*crates(), *modules()]:
        files = [f for f in sorted(folder.iterdir()) if f.is_file() and WANTED.fullmatch(f.name)]
        if not files and not licence:
            bare.append(name)
        print(f"{'=' * 80}\n{name}{': ' + licence if licence else ''}\n")
        for file in files:
            print(f"--- {file.name}\n{file.read_text(errors='replace').strip()}\n")
    if bare:
        sys.exit(f"error: nothing says under which licence these are: {', '.join(bare)}")


main()
