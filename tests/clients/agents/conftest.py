"""Where a client runs: in folders of its own, with an address of the proxy, and with a proxy for everything else, which refuses it."""

import json
import os
import shutil
import signal
import socketserver
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from standin import MODEL, prompt

NEEDED = ["LAPTOP_URL", "GUEST_URL", "NARROW_URL", "STANDIN_URL", "ACCESS_LOG", "NODE_PACKAGES"]

# What the stand-in says at the end of each script.
END = "all three turns are done"

# No client takes this long, and no wait.
SECONDS = 100


def pytest_configure(config: pytest.Config) -> None:
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        raise pytest.UsageError(f"{', '.join(missing)}: not set; tests/e2e/clients.rs sets them: make test-clients")


class Outside(socketserver.ThreadingTCPServer):
    """An HTTP proxy for all addresses but loopback. It refuses every request and notes where it was to go."""

    daemon_threads = True

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self):
            words = self.rfile.readline().decode().split(" ")
            self.server.asked.append(words[1] if len(words) > 1 else "")
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Refuse)
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def variables(self) -> dict[str, str]:
        url, inside = f"http://127.0.0.1:{self.server_address[1]}", "127.0.0.1,localhost"
        names = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "ALL_PROXY": url, "NO_PROXY": inside}
        return {**names, **{name.lower(): value for name, value in names.items()}}


class AccessLog:
    """The proxy's access log: what every peer asked, refused or not."""

    def __init__(self, url: str):
        self.path = Path(os.environ["ACCESS_LOG"])
        self.url = url
        self.begin = 0
        self.begin = self.until_now()[1]

    def until_now(self) -> tuple[list[dict], int]:
        """The records before this call, and where the next one begins. A request of its own marks the place."""
        marker = f"/marker-{uuid.uuid4()}"
        with pytest.raises(urllib.error.HTTPError):
            fetch(self.url + marker)
        return eventually(f"a record of {marker}", lambda: self.before(marker))

    def before(self, marker: str) -> tuple[list[dict], int] | None:
        data = self.path.read_bytes()[self.begin:]
        records, at = [], 0
        for line in data.splitlines(keepends=True):
            at += len(line)
            if not line.endswith(b"\n"):
                return None
            record = json.loads(line)
            if record.get("path") == marker:
                return records, self.begin + at
            if record["event"] == "request" and not record.get("path", "").startswith("/marker-"):
                records.append(record)
        return None


def shown(record: dict) -> str:
    """A record in short: `POST v1_responses 200`, or `GET /v1/x 403 allowlist`."""
    words = [record["method"], record.get("endpoint") or record.get("path", "?"), str(record.get("status", record["ended"]))]
    return " ".join([*words, *([record["rule"]] if "rule" in record else [])])


class Scene:
    """One test's client, and what it asked."""

    def __init__(self, folder: Path):
        self.home, self.work = folder / "home", folder / "work"
        for made in (self.home, self.work):
            made.mkdir()
        (self.work / "note.txt").write_text("the text of the note\n")
        self.laptop, self.guest, self.narrow = (os.environ[f"{name}_URL"] for name in ("LAPTOP", "GUEST", "NARROW"))
        self.standin = os.environ["STANDIN_URL"]
        self.packages = Path(os.environ["NODE_PACKAGES"])
        self.outside = Outside()
        self.log = AccessLog(self.laptop)
        fetch(f"{self.standin}/-/clear", b"")

    def variables(self) -> dict[str, str]:
        return {"HOME": str(self.home), "LANG": "C.UTF-8", **self.outside.variables()}

    @contextmanager
    def start(self, *command: object, **variables: str):
        """Runs a client until the end of the block. Its output is in a file, so that it never waits for a reader."""
        env = {"PATH": os.environ["PATH"], **self.variables(), **variables}
        words = [str(word) for word in command]
        with open(self.home / "output", "w+b") as output:
            process = subprocess.Popen(words, env=env, cwd=self.work, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL) # its children too
                process.wait()
                print(f"$ {' '.join(words)}\n{self.output()}")

    def output(self) -> str:
        return (self.home / "output").read_text(errors="replace")

    def run(self, *command: object, status: int = 0, **variables: str) -> str:
        """Runs a client to its end; returns its output."""
        with self.start(*command, **variables) as process:
            found = process.wait(SECONDS)
        assert found == status
        return self.output()

    def left_for(self, address: str) -> None:
        """Waits until the client asks for `address`, which is not in the tailnet."""
        eventually(f"a connection to {address}", lambda: (address in self.outside.asked) or None)
        self.outside.asked.clear()

    def program(self, name: str) -> Path:
        path = self.packages / "node_modules" / ".bin" / name
        assert path.exists(), f"{path}: missing; run make test-clients"
        return path

    def asked(self, *expected: str, only: str | None = None) -> list[dict]:
        """Checks that the proxy was asked exactly this, in any order, and nothing else was. With `only` the number does not matter.
        Returns what the stand-in was asked."""
        def complete():
            records = self.log.until_now()[0]
            return records if len(records) >= (len(expected) or bool(only)) else None

        records = eventually("the records of the requests", complete)
        print("\n".join(f"{shown(record)}: {record['bytes_in']} bytes" for record in records))
        found = Counter(map(shown, records))
        assert set(found) == {only} if only else found == Counter(expected)
        assert self.outside.asked == [], "the client asked other servers"
        passed = json.loads(fetch(f"{self.standin}/-/requests"))
        assert len(passed) == sum("rule" not in record for record in records)
        return passed


def fetch(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data, SECONDS) as answer:
        return answer.read()


def eventually(what: str, found):
    """The first value of `found` that is not None. It polls, because a line in another process' file is no event here."""
    end = time.monotonic() + SECONDS
    while (value := found()) is None:
        assert time.monotonic() < end, f"{what}: not within {SECONDS} s"
        time.sleep(0.02)
    return value


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.outside.shutdown()
    shutil.rmtree(made.home)
