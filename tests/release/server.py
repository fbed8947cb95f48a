"""Serves the files of a folder as a release page does, on a free port of loopback, which it prints first.

    server.py FOLDER

/latest/download/FILE and /download/vVERSION/FILE are FOLDER/FILE. A path with a prefix is that page with a fault: /cut ends each
archive in the middle, and /swapped serves another archive than SHA256SUMS lists. /odd-KIND adds a member to each archive that no release has,
and lists its checksum: a KIND of ODD, or otherwise a file of that name outside of the archive's folder.
"""

import functools
import hashlib
import http.server
import io
import pathlib
import re
import sys
import tarfile

FOLDER = pathlib.Path(sys.argv[1])

# The name, in which TOP is the archive's folder, and what it is, or links to.
ODD = {
    "symlink": ("TOP/link", tarfile.SYMTYPE, "README.md"),
    "hardlink": ("TOP/link", tarfile.LNKTYPE, "TOP/README.md"),
    "fifo": ("TOP/fifo", tarfile.FIFOTYPE, ""),
    "top-link": ("TOP", tarfile.SYMTYPE, "real"),
    "top-file": ("TOP", tarfile.REGTYPE, ""),
    "newline": ("TOP/a\nshare/b", tarfile.REGTYPE, ""),
    "control": ("TOP/\x1b[2J", tarfile.REGTYPE, ""),
    "accent": ("TOP/\xe9", tarfile.REGTYPE, ""),
    "folder": ("TOP/remote-ollama-proxy", tarfile.DIRTYPE, ""),
    "page": ("TOP/man/remote-ollama-proxy-x.1", tarfile.DIRTYPE, ""),
    "climbs": ("../../climbed", tarfile.REGTYPE, ""),
}


@functools.cache
def odd_archive(kind, name):
    top = name.removesuffix(".tar.gz")
    path, what, to = ODD.get(kind, (kind, tarfile.REGTYPE, ""))
    odd = tarfile.TarInfo(path.replace("TOP", top))
    odd.type, odd.linkname, odd.mode = what, to.replace("TOP", top), 0o755
    packed = io.BytesIO()
    with tarfile.open(FOLDER / name) as old, tarfile.open(
        fileobj=packed, mode="w:gz", format=tarfile.GNU_FORMAT, encoding="utf-8"
    ) as new:
        for member in old:
            if kind == "top-file" or member.name == odd.name != top:
                continue
            file = old.extractfile(member) if member.isfile() else None
            if kind == "top-link":
                member.name = member.name.replace(top, "real", 1)
            new.addfile(member, file)
        new.addfile(odd)
    return packed.getvalue()


def odd_sums(kind):
    names = sorted(path.name for path in FOLDER.glob("*.tar.gz"))
    return "".join(f"{hashlib.sha256(odd_archive(kind, name)).hexdigest()}  {name}\n" for name in names).encode()


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = re.fullmatch(r"(?:/(cut|swapped|odd-[^/]+))?/(?:latest/download|download/v([^/]+))/([^/]+)", self.path)
        sums = (FOLDER / "SHA256SUMS").read_text()
        if not found or f"-{found[2] or ''}" not in sums or not (FOLDER / found[3]).is_file():
            self.send_error(404)
            return
        data = (FOLDER / found[3]).read_bytes()
        archive = found[3].endswith(".tar.gz")
        if found[1] == "swapped" and archive:
            data = data[::-1]
        if (found[1] or "").startswith("odd-"):
            kind = found[1].removeprefix("odd-")
            data = odd_archive(kind, found[3]) if archive else odd_sums(kind)
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if found[1] == "cut" and archive else data)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
print(server.server_port, flush=True)
server.serve_forever()
