"""The openai package: chat completions, models, responses."""

import asyncio
import json

import openai
import pytest
from answers import (
    ENDLESS_PROMPT, HELLO, LOOP, MISSING_MODEL, MODEL, MODELS, PROMPT, SLOW_MODEL, TOOL, TOOL_ARGUMENTS,
    TOOL_DESCRIPTION, TOOL_PROMPT, TOOL_SCHEMA, user,
)

TOOLS = [{"type": "function", "function": {"name": TOOL, "description": TOOL_DESCRIPTION, "parameters": TOOL_SCHEMA}}]


def test_chat(openai_client):
    answer = openai_client.chat.completions.create(model=MODEL, messages=user(PROMPT))
    assert answer.choices[0].message.content == HELLO
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_streamed(openai_client):
    chunks = list(openai_client.chat.completions.create(
        model=MODEL, messages=user(PROMPT), stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(texts) == HELLO
    assert len(texts) > 1
    assert chunks[-1].usage.completion_tokens > 1


def test_chat_of_limited_length(openai_client):
    answer = openai_client.chat.completions.create(model=MODEL, messages=user(ENDLESS_PROMPT), max_tokens=8)
    assert answer.choices[0].message.content == LOOP[:8 * len(" loop00")]
    assert answer.choices[0].finish_reason == "length"


def test_tool_call_and_its_result(openai_client):
    conversation = user(TOOL_PROMPT)
    message = openai_client.chat.completions.create(model=MODEL, messages=conversation, tools=TOOLS).choices[0].message
    [call] = message.tool_calls
    assert call.function.name == TOOL
    assert json.loads(call.function.arguments) == TOOL_ARGUMENTS

    conversation += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = openai_client.chat.completions.create(model=MODEL, messages=conversation, tools=TOOLS)
    assert answer.choices[0].message.content == HELLO


def test_tool_call_streamed(openai_client):
    chunks = list(openai_client.chat.completions.create(
        model=MODEL, messages=user(TOOL_PROMPT), tools=TOOLS, stream=True))
    [call] = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert call.function.name == TOOL
    assert json.loads(call.function.arguments) == TOOL_ARGUMENTS
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_stream_cut_by_the_client(openai_client):
    # The slow model answers one request at a time and would take minutes: the second answer is in time only if the
    # disconnect reached Ollama.
    with openai_client.chat.completions.create(model=SLOW_MODEL, messages=user(ENDLESS_PROMPT), stream=True) as stream:
        texts = [chunk.choices[0].delta.content for chunk, _ in zip(stream, range(5))]
    assert LOOP.startswith("".join(texts))
    answer = openai_client.chat.completions.create(model=SLOW_MODEL, messages=user(PROMPT))
    assert answer.choices[0].message.content == HELLO


def test_many_at_once(proxy_url):
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{proxy_url}/v1", api_key="unused", max_retries=0) as client:
            answers = await asyncio.gather(*(
                client.chat.completions.create(model=MODEL, messages=user(PROMPT)) for _ in range(4)))
        return [answer.choices[0].message.content for answer in answers]

    assert asyncio.run(ask()) == [HELLO] * 4


def test_models(openai_client):
    assert MODELS <= {model.id for model in openai_client.models.list()}


@pytest.mark.parametrize("name", ["tiny", "tiny:latest"])
def test_model(openai_client, name):
    assert openai_client.models.retrieve(name).id == name


def test_response(openai_client):
    answer = openai_client.responses.create(model=MODEL, input=PROMPT)
    assert answer.output_text == HELLO
    assert answer.status == "completed"


def test_response_streamed(openai_client):
    events = list(openai_client.responses.create(model=MODEL, input=PROMPT, stream=True))
    assert events[0].type == "response.created"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == HELLO
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == HELLO


def test_response_tool_call(openai_client):
    answer = openai_client.responses.create(
        model=MODEL, input=TOOL_PROMPT,
        tools=[{"type": "function", "name": TOOL, "description": TOOL_DESCRIPTION, "parameters": TOOL_SCHEMA}])
    [call] = [item for item in answer.output if item.type == "function_call"]
    assert call.name == TOOL
    assert json.loads(call.arguments) == TOOL_ARGUMENTS


@pytest.mark.parametrize("ask", [
    pytest.param(lambda client: client.models.retrieve(MISSING_MODEL), id="model"),
    pytest.param(lambda client: client.chat.completions.create(model=MISSING_MODEL, messages=user(PROMPT)), id="chat"),
    pytest.param(lambda client: client.chat.completions.create(
        model=MISSING_MODEL, messages=user(PROMPT), stream=True), id="chat-streamed"),
    pytest.param(lambda client: client.responses.create(model=MISSING_MODEL, input=PROMPT), id="response"),
])
def test_ollamas_own_errors_come_through(openai_client, ask):
    with pytest.raises(openai.NotFoundError) as raised:
        ask(openai_client)
    assert raised.value.body["message"] == f"model '{MISSING_MODEL}' not found"
