"""Serves the files of a folder as a release page does, on a free port of loopback, which it prints first.

    server.py FOLDER

/latest/download/FILE and /download/vVERSION/FILE are FOLDER/FILE. A path with a prefix is that page with a fault: /cut ends each
archive in the middle, and /swapped serves another archive than SHA256SUMS lists.
"""

import http.server
import pathlib
import re
import sys

FOLDER = pathlib.Path(sys.argv[1])


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = re.fullmatch(r"(?:/(cut|swapped))?/(?:latest/download|download/v([^/]+))/([^/]+)", self.path)
        sums = (FOLDER / "SHA256SUMS").read_text()
        if not found or f"-{found[2] or ''}" not in sums or not (FOLDER / found[3]).is_file():
            self.send_error(404)
            return
        data = (FOLDER / found[3]).read_bytes()
        archive = found[3].endswith(".tar.gz")
        if found[1] == "swapped" and archive:
            data = data[::-1]
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if found[1] == "cut" and archive else data)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
print(server.server_port, flush=True)
server.serve_forever()
