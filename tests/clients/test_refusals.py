"""Requests that the proxy refuses by default, as users of each package see them: the package's ordinary error, with a
message that names the rule. The models do not exist, so that a request that passes by mistake does no harm."""

import anthropic
import ollama
import openai
import pytest
from answers import MISSING_MODEL, PROMPT, user

# The names of the rules, as in the access log.
OFF, MANAGEMENT, UNKNOWN = "endpoint-off", "management", "allowlist"


def case(name, rule, call):
    return pytest.param(rule, call, id=name)


@pytest.mark.parametrize(("rule", "call"), [
    case("embeddings", OFF, lambda client: client.embeddings.create(model=MISSING_MODEL, input=PROMPT)),
    case("completions", OFF, lambda client: client.completions.create(model=MISSING_MODEL, prompt=PROMPT)),
    case("completions-streamed", OFF, lambda client: client.completions.create(
        model=MISSING_MODEL, prompt=PROMPT, stream=True)),
    case("files", UNKNOWN, lambda client: client.files.list()),
    case("response-by-id", UNKNOWN, lambda client: client.responses.retrieve("resp_1")),
])
def test_openai(openai_client, rule, call):
    with pytest.raises(openai.PermissionDeniedError) as raised:
        call(openai_client)
    # The package prints the status and the whole body; programs show the body's message.
    readable(raised.value.body["message"], rule)
    assert raised.value.body["message"] in str(raised.value)


@pytest.mark.parametrize(("rule", "call"), [
    case("count_tokens", UNKNOWN, lambda client: client.messages.count_tokens(
        model=MISSING_MODEL, messages=user(PROMPT))),
    case("batches", UNKNOWN, lambda client: client.messages.batches.list()),
])
def test_anthropic(anthropic_client, rule, call):
    with pytest.raises(anthropic.PermissionDeniedError) as raised:
        call(anthropic_client)
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == "permission_error"
    readable(raised.value.body["error"]["message"], rule)


@pytest.mark.parametrize(("rule", "call"), [
    case("pull", MANAGEMENT, lambda client: client.pull(MISSING_MODEL)),
    case("pull-streamed", MANAGEMENT, lambda client: list(client.pull(MISSING_MODEL, stream=True))),
    case("push", MANAGEMENT, lambda client: client.push(MISSING_MODEL)),
    case("create", MANAGEMENT, lambda client: client.create(MISSING_MODEL, from_=MISSING_MODEL)),
    case("copy", MANAGEMENT, lambda client: client.copy(MISSING_MODEL, MISSING_MODEL)),
    case("delete", MANAGEMENT, lambda client: client.delete(MISSING_MODEL)),
    case("generate", OFF, lambda client: client.generate(MISSING_MODEL, PROMPT)),
    case("generate-streamed", OFF, lambda client: list(client.generate(MISSING_MODEL, PROMPT, stream=True))),
    case("chat", OFF, lambda client: client.chat(MISSING_MODEL, user(PROMPT))),
    case("chat-streamed", OFF, lambda client: list(client.chat(MISSING_MODEL, user(PROMPT), stream=True))),
    case("embed", OFF, lambda client: client.embed(MISSING_MODEL, PROMPT)),
    case("embeddings", OFF, lambda client: client.embeddings(MISSING_MODEL, PROMPT)),
    case("ps", OFF, lambda client: client.ps()),
])
def test_ollama(ollama_client, rule, call):
    with pytest.raises(ollama.ResponseError) as raised:
        call(ollama_client)
    assert raised.value.status_code == 403
    readable(raised.value.error, rule)


@pytest.mark.parametrize(("base", "ask"), [
    pytest.param("", "the base URL must end in /v1: use /v1/chat/completions", id="without-v1"),
    pytest.param("/v1/v1", "the base URL has one /v1 too many: use /v1/chat/completions", id="v1-twice"),
    pytest.param("//v1", "the path has one slash too many: use /v1/chat/completions", id="slash-twice"),
])
def test_openai_with_a_wrong_base_url_shows_the_right_one(proxy_url, base, ask):
    with (openai.OpenAI(base_url=proxy_url + base, api_key="unused", max_retries=0) as client,
          pytest.raises(openai.PermissionDeniedError) as raised):
        client.chat.completions.create(model=MISSING_MODEL, messages=user(PROMPT))
    assert ask in str(raised.value)


@pytest.mark.parametrize(("base", "ask"), [
    pytest.param("/v1", "the base URL has one /v1 too many: use /v1/messages", id="v1-twice"),
    pytest.param("//", "the path has one slash too many: use /v1/messages", id="slash-twice"),
])
def test_anthropic_with_a_wrong_base_url_shows_the_right_one(proxy_url, base, ask):
    with (anthropic.Anthropic(base_url=proxy_url + base, api_key="unused", max_retries=0) as client,
          pytest.raises(anthropic.PermissionDeniedError) as raised):
        client.messages.create(model=MISSING_MODEL, messages=user(PROMPT), max_tokens=1)
    assert ask in str(raised.value)
    assert raised.value.body["error"]["type"] == "permission_error"


def test_ollama_with_a_wrong_host_shows_the_right_one(proxy_url):
    with pytest.raises(ollama.ResponseError) as raised:
        ollama.Client(host=f"{proxy_url}/v1").chat(MISSING_MODEL, user(PROMPT))
    assert "the base URL must not end in /v1: use /api/chat" in raised.value.error


def readable(message: object, rule: str) -> None:
    """Checks that a refusal's message is one line of text, not JSON, and names the rule."""
    assert isinstance(message, str), message
    assert rule in message
    assert "\n" not in message and "{" not in message, message
