"""The official clients, set up as documented, with the proxy's address instead of the provider's."""

import os
import socket

import anthropic
import ollama
import openai
import pytest

# No call takes this long. The clients' own timeout is ten minutes.
SECONDS = 60


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get("PROXY_URL"):
        raise pytest.UsageError("PROXY_URL: not set; set it to the proxy's address, or use run.sh PROXY_URL")


@pytest.fixture(scope="session", autouse=True)
def magic_dns():
    """Resolves the proxy's name to loopback, where a client node forwards it, unless MagicDNS already resolves it."""
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        try:
            return real(host, *args, **kwargs)
        except socket.gaierror:
            if host not in ("remote-ollama-proxy", b"remote-ollama-proxy"):
                raise
            return real("127.0.0.1", *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
    yield
    socket.getaddrinfo = real


@pytest.fixture(scope="session")
def proxy_url() -> str:
    return os.environ["PROXY_URL"].rstrip("/")


# No retries: a test checks the first answer, not the best of three.


@pytest.fixture
def openai_client(proxy_url):
    with openai.OpenAI(base_url=f"{proxy_url}/v1", api_key="unused", timeout=SECONDS, max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(proxy_url):
    with anthropic.Anthropic(base_url=proxy_url, api_key="unused", timeout=SECONDS, max_retries=0) as client:
        yield client


@pytest.fixture
def ollama_client(proxy_url):
    return ollama.Client(host=proxy_url, timeout=SECONDS)
