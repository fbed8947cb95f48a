#!/usr/bin/env python3
"""Compares what each binary in target/dist says that it is made of with its SBOM: contents.py DIST

`cargo auditable` stores the crates in the section `.dep-v0`, as compressed JSON. `go version -m` reads Go's modules.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path


def crates(program):
    """The crates that the program names; not those that only build it."""
    with tempfile.NamedTemporaryFile() as section:
        command = ["objcopy", "--output-target", "binary", "--only-section", ".dep-v0", program, section.name]
        subprocess.run(command, check=True)
        packages = json.loads(zlib.decompress(Path(section.name).read_bytes()))["packages"]
    return {f"{p['name']}@{p['version']}" for p in packages if p.get("kind") != "build"}


def modules(program):
    """The Go modules that the program names, with Go itself."""
    lines = subprocess.run(["go", "version", "-m", program], check=True, text=True, capture_output=True).stdout.splitlines()
    parts = [line.split() for line in lines[1:]]
    found = {f"{part[1]}@{part[2]}" for part in parts if part[0] == "dep"}
    return found | {f"stdlib@{lines[0].split()[-1].removeprefix('go')}"}


def listed(bill, kind):
    """The components of the SBOM whose package URL is of that kind, with the program itself."""
    parts = [*bill["components"], bill["metadata"]["component"]]
    return {f"{c['name']}@{c['version']}" for c in parts if c["purl"].startswith(f"pkg:{kind}/")}


def check(dist, archive):
    name = archive.name.removesuffix(".tar.gz")
    bill = json.loads((dist / f"{name}.cdx.json").read_text())
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
        program = f"{folder}/{name}/remote-ollama-proxy"
        for kind, found in ("cargo", crates(program)), ("golang", modules(program)):
            bom = listed(bill, kind)
            print(f"{name}: {kind}: {len(found)} parts in the binary, {len(bom)} in the SBOM")
            if found != bom:
                sys.exit(f"error: only in the binary: {sorted(found - bom)}; only in the SBOM: {sorted(bom - found)}")


def main():
    dist = Path(sys.argv[1])
    archives = sorted(dist.glob("*-linux-*.tar.gz"))
    if not archives:
        sys.exit(f"error: {dist} has no archive for Linux: make release")
    for archive in archives:
        check(dist, archive)


main()
