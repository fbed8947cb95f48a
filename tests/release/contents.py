#!/usr/bin/env python3
"""Compares what each binary in target/dist says that it is made of with its SBOM and its licences: contents.py DIST

`cargo auditable` stores the crates in the section `.dep-v0`, as compressed JSON. `go version -m` reads Go's modules. The compiler, which
brings Rust's standard library, names its version in `.comment`.
"""

import json
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path


def section(program, wanted):
    """The contents of a section of a 64-bit ELF file of any processor; this machine's objcopy may read only its own."""
    elf = Path(program).read_bytes()
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    # Of each section: where its name is in the section of names, its place in the file, its size.
    sections = [struct.unpack_from("<I20xQQ", elf, table + size * i) for i in range(count)]
    for name, start, length in sections:
        at = sections[names][1] + name
        if elf[at : elf.index(b"\0", at)] == wanted:
            return elf[start : start + length]
    sys.exit(f"error: {program} has no section {wanted.decode()}")


def crates(program):
    """The crates that the program names. They are more than those in it: cargo tells `cargo auditable` also of optional ones."""
    packages = json.loads(zlib.decompress(section(program, b".dep-v0")))["packages"]
    return {f"{p['name']}@{p['version']}" for p in packages}


def modules(program):
    """The Go modules that the program names, with Go itself."""
    lines = subprocess.run(["go", "version", "-m", program], check=True, text=True, capture_output=True).stdout.splitlines()
    parts = [line.split() for line in lines[1:]]
    found = {f"{part[1]}@{part[2]}" for part in parts if part[0] == "dep"}
    return found | {f"stdlib@{lines[0].split()[-1].removeprefix('go')}"}


def library(program):
    """Rust's standard library, of the version of the compiler."""
    [version] = set(re.findall(rb"rustc version (\S+)", section(program, b".comment")))
    return {f"Rust standard library@{version.decode()}"}


def listed(bill, kind):
    """The components of the SBOM whose package URL is of that kind, with the program itself."""
    parts = [*bill["components"], bill["metadata"]["component"]]
    return {f"{c['name']}@{c['version']}" for c in parts if c["purl"].startswith(f"pkg:{kind}/")}


def licensed(notices):
    """The parts whose licences are in the archive."""
    return {"@".join(heading) for heading in re.findall(r"^={80}\n([^:\n]+) ([^ :\n]+)", notices, re.MULTILINE)}


def check(dist, archive):
    name = archive.name.removesuffix(".tar.gz")
    bill = json.loads((dist / f"{name}.cdx.json").read_text())
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
        program = f"{folder}/{name}/remote-ollama-proxy"
        named = crates(program), modules(program), library(program)
        notices = Path(folder, name, "third-party-licences").read_text()
    bom = listed(bill, "cargo"), listed(bill, "golang"), listed(bill, "generic")
    print(f"{name}: {len(bom[0])} crates in the SBOM, {len(named[0])} named in the binary; {len(bom[1])} Go modules")
    if missing := sorted(bom[0] - named[0]):
        sys.exit(f"error: crates of the SBOM that the binary does not name: {missing}")
    if differing := sorted(bom[1] ^ named[1]):
        sys.exit(f"error: Go modules in the SBOM or in the binary only: {differing}")
    if bom[2] != named[2]:
        sys.exit(f"error: the SBOM names {sorted(bom[2])}, but in the binary is {sorted(named[2])}")
    own = bill["metadata"]["component"]
    if differing := sorted((bom[0] | bom[1] | bom[2]) - {f"{own['name']}@{own['version']}"} ^ licensed(notices)):
        sys.exit(f"error: parts in the SBOM or in third-party-licences only: {differing}")


def main():
    dist = Path(sys.argv[1])
    archives = sorted(dist.glob("*-linux-*.tar.gz"))
    if not archives:
        sys.exit(f"error: {dist} has no archive for Linux: make release")
    for archive in archives:
        check(dist, archive)


main()
