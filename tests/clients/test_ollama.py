"""The ollama package: its allowed calls. test_refusals.py has the refused ones."""

import re

import httpx
import ollama
import pytest
from answers import MISSING_MODEL, MODEL, MODELS


def test_list(ollama_client):
    assert MODELS <= {model.model for model in ollama_client.list().models}


def test_show(ollama_client):
    model = ollama_client.show(MODEL)
    assert model.details.family == "llama"
    assert {"completion", "tools"} <= set(model.capabilities)


def test_version(proxy_url):
    # The package has no call for this, so the test uses the package's HTTP client.
    answer = httpx.get(f"{proxy_url}/api/version").raise_for_status()
    assert re.match(r"\d+\.\d+\.\d+", answer.json()["version"])


def test_ollamas_own_errors_come_through(ollama_client):
    with pytest.raises(ollama.ResponseError) as raised:
        ollama_client.show(MISSING_MODEL)
    assert (raised.value.status_code, raised.value.error) == (404, f"model '{MISSING_MODEL}' not found")
