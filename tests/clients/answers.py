"""The answers of the test models (see ../ollama/README.md), and the prompts for them."""

MODEL = "tiny"
SLOW_MODEL = "slow"
MODELS = {"tiny:latest", "slow:latest"}
MISSING_MODEL = "no-such-model:latest"  # with a tag, since some versions of Ollama add it to the name in their error

PROMPT = "hi"
HELLO = " Hello from the tiny test model . Bye"

ENDLESS_PROMPT = "go!"
LOOP = "".join(f" loop{number:02}" for number in range(32))

TOOL_PROMPT = "what is the weather?"
TOOL = "get_weather"
TOOL_ARGUMENTS = {"city": "Paris"}
TOOL_DESCRIPTION = "Tells the weather of a city"
TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def user(text: str) -> list[dict[str, str]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]
