"""Pairs of requests on reused connections: one that is answered before its body arrives, then an ordinary one.

pairs.py PROXY_URL COUNT: sends COUNT pairs with each HTTP library for Python, prints how many failed, and exits with 1 if
any did. pairs.mjs and pairs.go do the same for Node and Go.
"""

import asyncio
import sys
import time

import aiohttp
import httpx
import requests

# Path, size of the body, and status of the answer. The proxy refuses the first three. Ollama answers the last at its first
# byte, which is no JSON. The third body is larger than what the proxy discards to keep a connection.
CASES = [
    ("/v1/embeddings", 30, 403),
    ("/v1/embeddings", 200_000, 403),
    ("/v1/embeddings", 300_000, 403),
    ("/v1/chat/completions", 300_000, 400),
]

# The second requests, in turns. Some clients repeat a GET by themselves on a closed connection, which hides the close; none
# repeats a POST. The two bytes of its body are no JSON.
ORDINARY = [("/v1/models", 0, 200), ("/api/show", 2, 400)]

# Seconds between the head and the body. It shapes the requests; nothing waits for it.
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


def pair(n: int):
    """The two requests of pair number n."""
    return CASES[n % len(CASES)], ORDINARY[n // len(CASES) % len(ORDINARY)]


def with_requests(session: requests.Session, url: str, size: int) -> int:
    if size == 0:
        return session.get(url, timeout=SECONDS).status_code
    return session.post(url, data=Late(size), timeout=SECONDS).status_code


def with_httpx(client: httpx.Client, url: str, size: int) -> int:
    if size == 0:
        return client.get(url).status_code
    return client.post(url, content=iter(Late(size)), headers={"Content-Length": str(size)}).status_code


async def with_aiohttp(session: aiohttp.ClientSession, url: str, size: int) -> int:
    if size == 0:
        answer = session.get(url)
    else:
        answer = session.post(url, data=later(size), headers={"Content-Length": str(size)})
    async with answer as answer:
        await answer.read()
        return answer.status


def expect(status: int, expected: int) -> None:
    if status != expected:
        raise AssertionError(f"answered {status}")


def blocking(name: str, ask, session, base: str, count: int) -> int:
    failed = 0
    for n in range(count):
        case = pair(n)
        try:
            for path, size, status in case:
                expect(ask(session, base + path, size), status)
        except Exception as error:
            failed += 1
            print(f"{name}: {case}: {error!r}", file=sys.stderr)
    return told(name, count, failed)


async def unblocking(name: str, base: str, count: int) -> int:
    failed = 0
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(SECONDS)) as session:
        for n in range(count):
            case = pair(n)
            try:
                for path, size, status in case:
                    expect(await with_aiohttp(session, base + path, size), status)
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
        failed = blocking("requests", with_requests, session, base, count)
    with httpx.Client(timeout=SECONDS) as client:
        failed += blocking("httpx", with_httpx, client, base, count)
    failed += asyncio.run(unblocking("aiohttp", base, count))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
