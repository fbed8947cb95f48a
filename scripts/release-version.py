#!/usr/bin/env python3
"""Prints the version of the package in a folder's Cargo.toml: release-version.py [FOLDER]"""

import json
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # before Python 3.11
    tomllib = None


def main():
    manifest = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent, "Cargo.toml")
    if tomllib:
        print(tomllib.loads(manifest.read_text())["package"]["version"])
        return
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked", "--manifest-path", str(manifest)]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    [version] = [p["version"] for p in packages if Path(p["manifest_path"]).resolve() == manifest.resolve()]
    print(version)


main()
