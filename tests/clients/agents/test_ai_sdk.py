"""Vercel's AI SDK, with five of its providers."""

from pathlib import Path

import pytest
from conftest import END, prompt

STEPS = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]

PROVIDERS = {"openai": "v1_responses", "openai-chat": "v1_chat_completions", "openai-compatible": "v1_chat_completions",
             "anthropic": "v1_messages", "ollama": "api_chat"}

PATHS = {"v1_responses": "/v1/responses", "v1_chat_completions": "/v1/chat/completions", "v1_messages": "/v1/messages",
         "api_chat": "/api/chat"}


def loop(scene, provider: str, url: str, **options) -> str:
    program = Path(__file__).parent / "ai_sdk.mjs"
    return scene.run("node", program, scene.packages, provider, url, prompt(STEPS, END), **options)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_three_turns(scene, provider):
    assert END in loop(scene, provider, scene.laptop)
    *_, last = scene.asked(*[f"POST {PROVIDERS[provider]} 200"] * 3)
    assert "sunny in Rome" in last["body"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_refused_endpoint_is_shown(scene, provider):
    path = PATHS[PROVIDERS[provider]]
    said = loop(scene, provider, scene.guest, status=1)
    # The provider for Ollama's API shows the status alone; the text is in the error's `responseBody`.
    assert ("AI_APICallError: Forbidden" if provider == "ollama" else f"remote-ollama-proxy: POST {path}: ") in said
    scene.asked(f"POST {path} 403 grant")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_refused_model_is_shown(scene, provider):
    said = loop(scene, provider, scene.narrow, status=1)
    assert ("AI_APICallError: Forbidden" if provider == "ollama" else "(rule: model)") in said
    scene.asked(f"POST {PROVIDERS[provider]} {403 if provider == 'ollama' else 404} model")
