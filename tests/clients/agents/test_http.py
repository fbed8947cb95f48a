"""HTTP libraries: a tool loop of three turns, streamed, written by hand. tests/clients/pairs.sh tests how they reuse connections."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from conftest import END, MODEL, prompt

STEPS = [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]
LIBRARIES = ["agent", "fetch", "undici"]


def in_node(scene, library: str, url: str, **options) -> str:
    program = Path(__file__).parent / "http_agents.mjs"
    return scene.run("node", program, library, scene.packages, url, prompt(STEPS, END), **options)


@pytest.mark.parametrize("library", LIBRARIES)
def test_three_turns_in_node(scene, library):
    assert END in in_node(scene, library, scene.laptop)
    *_, last = scene.asked(*["POST v1_chat_completions 200"] * 3)
    assert "sunny in Rome" in last["body"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_refused_endpoint_is_shown_in_node(scene, library):
    said = in_node(scene, library, scene.guest, status=1)
    assert json.loads(said.removeprefix("403 "))["error"]["message"].startswith("remote-ollama-proxy: ")
    scene.asked("POST /v1/chat/completions 403 grant")


async def with_aiohttp(url: str) -> str:
    """Returns the final answer, or the status and the text of a refusal."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    messages = [{"role": "user", "content": prompt(STEPS, END)}]
    async with aiohttp.ClientSession(f"{url}/", connector=aiohttp.TCPConnector(limit=1)) as session:
        while True:
            body = {"model": MODEL, "messages": messages, "tools": tools, "stream": True}
            async with session.post("v1/chat/completions", json=body) as answer:
                if answer.status != 200:
                    return f"{answer.status} {await answer.text()}"
                lines = [line async for line in answer.content]
            message = json.loads(lines[0].removeprefix(b"data: "))["choices"][0]["delta"]
            if "tool_calls" not in message:
                return message["content"]
            [call] = message["tool_calls"]
            city = json.loads(call["function"]["arguments"])["city"]
            messages += [message, {"role": "tool", "tool_call_id": call["id"], "content": f"sunny in {city}"}]


def test_three_turns_with_aiohttp(scene):
    assert asyncio.run(with_aiohttp(scene.laptop)) == END
    *_, last = scene.asked(*["POST v1_chat_completions 200"] * 3)
    assert "sunny in Rome" in last["body"]


def test_refused_endpoint_is_shown_with_aiohttp(scene):
    said = asyncio.run(with_aiohttp(scene.guest))
    assert json.loads(said.removeprefix("403 "))["error"]["message"].startswith("remote-ollama-proxy: ")
    scene.asked("POST /v1/chat/completions 403 grant")
