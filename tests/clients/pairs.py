"""Pairs of requests on kept connections: one that is answered before its body has come, then an ordinary one.

pairs.py PROXY_URL COUNT: makes COUNT pairs with each HTTP library for Python, prints how many failed, and exits with 1 if
any did. pairs.mjs and pairs.go do the same for Node and Go.
"""

import asyncio
import sys
import time

import aiohttp
import httpx
import requests

# What is asked, the size of its body, and the answer's status. The proxy refuses the first three, and Ollama answers the
# last at its first byte, which is no JSON. The third is larger than what is read and dropped to keep a connection.
CASES = [
    ("/v1/embeddings", 30, 403),
    ("/v1/embeddings", 200_000, 403),
    ("/v1/embeddings", 300_000, 403),
    ("/v1/chat/completions", 300_000, 400),
]

# The body comes so long after the head.
PAUSE = 0.005
SECONDS = 30


class Late:
    """A body of known size."""

    def __init__(self, size: int):
        self.left = size
        self.size = size

    def __len__(self):
        return self.size

    def read(self, most: int = -1) -> bytes:
        if self.left == self.size:
            time.sleep(PAUSE)
        now = self.left if most < 0 else min(most, self.left)
        self.left -= now
        return b"x" * now

    def __iter__(self):
        while piece := self.read(16_384):
            yield piece


async def later(size: int):
    await asyncio.sleep(PAUSE)
    for at in range(0, size, 16_384):
        yield b"x" * min(16_384, size - at)


def with_requests(base: str, case) -> None:
    path, size, _ = case
    session = with_requests.session
    first = session.post(base + path, data=Late(size), timeout=SECONDS)
    expect(case, first.status_code, session.get(base + "/v1/models", timeout=SECONDS).status_code)


def with_httpx(base: str, case) -> None:
    path, size, _ = case
    client = with_httpx.client
    first = client.post(base + path, content=iter(Late(size)), headers={"Content-Length": str(size)})
    expect(case, first.status_code, client.get(base + "/v1/models").status_code)


async def with_aiohttp(session: aiohttp.ClientSession, base: str, case) -> None:
    path, size, _ = case
    async with session.post(base + path, data=later(size), headers={"Content-Length": str(size)}) as first:
        await first.read()
    async with session.get(base + "/v1/models") as second:
        await second.read()
    expect(case, first.status, second.status)


def expect(case, first: int, second: int) -> None:
    if (first, second) != (case[2], 200):
        raise AssertionError(f"{case}: answered {first}, then {second}")


def blocking(name: str, pair, base: str, count: int) -> int:
    failed = 0
    for n in range(count):
        case = CASES[n % len(CASES)]
        try:
            pair(base, case)
        except Exception as error:
            failed += 1
            print(f"{name}: {case}: {error!r}", file=sys.stderr)
    return told(name, count, failed)


async def unblocking(name: str, base: str, count: int) -> int:
    failed = 0
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(SECONDS)) as session:
        for n in range(count):
            case = CASES[n % len(CASES)]
            try:
                await with_aiohttp(session, base, case)
            except Exception as error:
                failed += 1
                print(f"{name}: {case}: {error!r}", file=sys.stderr)
    return told(name, count, failed)


def told(name: str, count: int, failed: int) -> int:
    print(f"{name}: {count} pairs, {failed} failed", flush=True)
    return failed


def main() -> int:
    base, count = sys.argv[1].rstrip("/"), int(sys.argv[2])
    with requests.Session() as session:
        with_requests.session = session
        failed = blocking("requests", with_requests, base, count)
    with httpx.Client(timeout=SECONDS) as client:
        with_httpx.client = client
        failed += blocking("httpx", with_httpx, base, count)
    failed += asyncio.run(unblocking("aiohttp", base, count))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
