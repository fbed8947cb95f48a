"""The anthropic package: messages."""

import anthropic
import pytest
from answers import (
    HELLO, LOOP, ENDLESS_PROMPT, MISSING_MODEL, MODEL, PROMPT, SLOW_MODEL, TOOL, TOOL_ARGUMENTS, TOOL_DESCRIPTION,
    TOOL_PROMPT, TOOL_SCHEMA, user,
)

TOOLS = [{"name": TOOL, "description": TOOL_DESCRIPTION, "input_schema": TOOL_SCHEMA}]


def test_message(anthropic_client):
    answer = anthropic_client.messages.create(model=MODEL, max_tokens=100, messages=user(PROMPT))
    assert [block.text for block in answer.content] == [HELLO]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 1


def test_message_of_limited_length(anthropic_client):
    answer = anthropic_client.messages.create(model=MODEL, max_tokens=8, messages=user(ENDLESS_PROMPT))
    assert [block.text for block in answer.content] == [LOOP[:8 * len(" loop00")]]
    assert answer.stop_reason == "max_tokens"


def test_message_streamed(anthropic_client):
    with anthropic_client.messages.stream(model=MODEL, max_tokens=100, messages=user(PROMPT)) as stream:
        texts = list(stream.text_stream)
        answer = stream.get_final_message()
    assert "".join(texts) == HELLO
    assert len(texts) > 1
    assert answer.stop_reason == "end_turn"


def test_tool_use_and_its_result(anthropic_client):
    conversation = user(TOOL_PROMPT)
    answer = anthropic_client.messages.create(model=MODEL, max_tokens=100, messages=conversation, tools=TOOLS)
    assert answer.stop_reason == "tool_use"
    [use] = [block for block in answer.content if block.type == "tool_use"]
    assert (use.name, use.input) == (TOOL, TOOL_ARGUMENTS)

    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    conversation += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    answer = anthropic_client.messages.create(model=MODEL, max_tokens=100, messages=conversation, tools=TOOLS)
    assert [block.text for block in answer.content] == [HELLO]


def test_tool_use_streamed(anthropic_client):
    with anthropic_client.messages.stream(
            model=MODEL, max_tokens=100, messages=user(TOOL_PROMPT), tools=TOOLS) as stream:
        answer = stream.get_final_message()
    [use] = [block for block in answer.content if block.type == "tool_use"]
    assert (use.name, use.input) == (TOOL, TOOL_ARGUMENTS)


def test_stream_cut_by_the_client(anthropic_client):
    # As in test_openai.py: the second answer is in time only if the first request ended.
    with anthropic_client.messages.stream(
            model=SLOW_MODEL, max_tokens=100_000, messages=user(ENDLESS_PROMPT)) as stream:
        texts = [text for text, _ in zip(stream.text_stream, range(5))]
    assert LOOP.startswith("".join(texts))
    answer = anthropic_client.messages.create(model=SLOW_MODEL, max_tokens=100, messages=user(PROMPT))
    assert [block.text for block in answer.content] == [HELLO]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_ollamas_own_errors_come_through(anthropic_client, stream):
    with pytest.raises(anthropic.NotFoundError) as raised:
        anthropic_client.messages.create(model=MISSING_MODEL, max_tokens=100, messages=user(PROMPT), stream=stream)
    assert raised.value.body["error"]["message"] == f"model '{MISSING_MODEL}' not found"
