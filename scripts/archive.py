#!/usr/bin/env python3
"""Packs a folder into a .tar.gz whose bytes depend only on its files: archive.py FILE.tar.gz FOLDER

Sorted, owned by root, with the time SOURCE_DATE_EPOCH. The tar of macOS has no options for this.
"""

import gzip
import os
import sys
import tarfile
from pathlib import Path


def main():
    to, folder = Path(sys.argv[1]), Path(sys.argv[2])
    time = int(os.environ["SOURCE_DATE_EPOCH"])

    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = time
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    # `tarfile` adds a folder's files in sorted order. Without a name gzip stores none.
    with to.open("wb") as file, gzip.GzipFile("", "wb", 9, file, time) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(folder, folder.name, filter=plain)


main()
