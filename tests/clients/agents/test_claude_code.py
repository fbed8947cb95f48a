"""Claude Code, with `claude -p`."""

import json

import pytest
from conftest import END, MODEL, prompt

TURNS = ["POST v1_messages 200"] * 3

# What keeps the start of its prompts equal.
STEADY = {"CLAUDE_CODE_ATTRIBUTION_HEADER": "0", "CLAUDE_CODE_TOTAL_TOKENS_REMINDER": "off"}

# A name that Claude Code knows. It sends longer prompts then, with a reminder of the tokens that are left.
KNOWN = "claude-sonnet-4-5"


def claude(scene, url: str, *words: str, status: int = 0, model: str = MODEL, **variables: str) -> str:
    return scene.run(
        scene.program("claude"), *words, status=status,
        ANTHROPIC_BASE_URL=url, ANTHROPIC_AUTH_TOKEN="unused", ANTHROPIC_MODEL=model,
        # Otherwise it looks for updates and sends figures and errors to its maker.
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        IS_SANDBOX="1",  # root may then skip the questions about permissions
        **variables)


def three_turns(scene, url: str, **options) -> str:
    steps = [("Bash", {"command": "echo first", "description": "Prints a word"}),
             ("Read", {"file_path": str(scene.work / "note.txt")})]
    return claude(scene, url, "--dangerously-skip-permissions", "-p", prompt(steps, END), **options)


def texts(request: dict) -> list[str]:
    """What Ollama makes a prompt of, in order, without marks for Anthropic's own cache."""
    body = json.loads(request["body"])
    parts = [block["text"] for block in body["system"]]
    for message in body["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            block.pop("cache_control", None)
            parts.append(message["role"] + json.dumps(block))
    return [json.dumps(body["tools"]), *parts]


def test_three_turns(scene):
    assert END in three_turns(scene, scene.laptop)
    *_, last = scene.asked(*TURNS)
    assert "the text of the note" in last["body"]


def test_refused_endpoint_is_shown(scene):
    said = three_turns(scene, scene.guest, status=1)
    assert "Failed to authenticate. API Error: 403 remote-ollama-proxy: POST /v1/messages: " in said
    scene.asked("POST /v1/messages 403 grant")


def test_refused_model_is_shown_without_its_reason(scene):
    said = three_turns(scene, scene.narrow, status=1)
    assert "It may not exist or you may not have access to it" in said and "remote-ollama-proxy" not in said
    scene.asked(*["POST v1_messages 404 model"] * 2)


def test_context_is_estimated_when_counting_is_refused(scene):
    assert "## Context Usage" in claude(scene, scene.laptop, "-p", "/context")
    scene.asked(only="POST /v1/messages/count_tokens 403 allowlist")


@pytest.mark.parametrize("model", [MODEL, KNOWN])
def test_each_turn_extends_the_prompt_of_the_last(scene, model):
    three_turns(scene, scene.laptop, model=model, **STEADY)
    first, second, third = map(texts, scene.asked(*TURNS))
    assert second[:len(first)] == first and third[:len(second)] == second


@pytest.mark.parametrize("variables", [STEADY, {}], ids=["steady", "as-it-is"])
def test_two_conversations_begin_alike_only_without_the_attribution(scene, variables):
    for question in ("one question", "quite another"):
        claude(scene, scene.laptop, "-p", question, **variables)
    one, another = (json.loads(request["body"])["system"] for request in scene.asked(*TURNS[:2]))
    assert (one[0]["text"].startswith("x-anthropic-billing-header: ")) == (not variables)
    assert (one == another) == bool(variables)


@pytest.mark.parametrize("variables", [STEADY, {}], ids=["steady", "as-it-is"])
def test_reminder_of_the_tokens_left_can_be_switched_off(scene, variables):
    three_turns(scene, scene.laptop, model=KNOWN, **variables)
    assert [("tokens left</total_tokens>" in request["body"]) for request in scene.asked(*TURNS)] == [not variables] * 3
