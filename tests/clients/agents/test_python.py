"""Libraries and programs for Python: a tool loop of three turns with each."""

import loops
import pytest
from conftest import END, prompt

STEPS = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]

ENDPOINTS = {"v1_chat_completions": "/v1/chat/completions", "v1_responses": "/v1/responses", "v1_messages": "/v1/messages",
             "api_chat": "/api/chat"}

# Requests besides the turns: it asks what the model can do.
MORE = {"litellm_ollama": ["POST api_show 200"]}

# Each is a function in loops.py.
LOOPS = {
    "langchain_ollama": "api_chat",
    "langchain_openai": "v1_chat_completions",
    "litellm_openai": "v1_chat_completions",
    "litellm_anthropic": "v1_messages",
    "litellm_ollama": "api_chat",
    "llm": "v1_chat_completions",
    "pydantic_ai": "v1_chat_completions",
    "pydantic_ai_responses": "v1_responses",
}


@pytest.fixture(autouse=True)
def environment(scene, monkeypatch):
    """In this process, since some of the libraries take seconds to import."""
    # litellm would ask for a list of prices.
    for name, value in {**scene.variables(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}.items():
        monkeypatch.setenv(name, value)


def refusal(name: str, url: str) -> str:
    with pytest.raises(Exception) as raised:
        getattr(loops, name)(url, prompt(STEPS, END))
    print(f"{type(raised.value).__name__}: {raised.value}")
    return str(raised.value)


@pytest.mark.parametrize("name", LOOPS)
def test_three_turns(scene, name):
    assert getattr(loops, name)(scene.laptop, prompt(STEPS, END)) == END
    asked = scene.asked(*[f"POST {LOOPS[name]} 200"] * 3, *MORE.get(name, []))
    assert "sunny in Rome" in asked[-1]["body"]


@pytest.mark.parametrize("name", LOOPS)
def test_refused_endpoint_is_shown(scene, name):
    path = ENDPOINTS[LOOPS[name]]
    assert f"remote-ollama-proxy: POST {path}: " in refusal(name, scene.guest)
    scene.asked(f"POST {path} 403 grant")


@pytest.mark.parametrize("name", LOOPS)
def test_refused_model_is_shown(scene, name):
    assert "(rule: model)" in refusal(name, scene.narrow)
    scene.asked(f"POST {LOOPS[name]} {403 if LOOPS[name] == 'api_chat' else 404} model")
