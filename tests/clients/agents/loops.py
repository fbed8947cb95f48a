"""A tool loop with each library: each function of test_python.LOOPS takes the base URL and a prompt, and returns the final answer. The
libraries are imported late, because some ask other servers unless the environment says otherwise."""

import json

MODEL = "scripted:latest"


def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"sunny in {city}"


def langchain(model, prompt: str) -> str:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    tools = model.bind_tools([tool(weather)])
    messages = [HumanMessage(prompt)]
    while True:
        chunks = list(tools.stream(messages))
        answer = chunks[0]
        for chunk in chunks[1:]:
            answer += chunk
        if not answer.tool_calls:
            return answer.text
        messages.append(answer)
        messages += [ToolMessage(weather(**call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]


def langchain_ollama(url: str, prompt: str) -> str:
    from langchain_ollama import ChatOllama

    return langchain(ChatOllama(model=MODEL, base_url=url), prompt)


def langchain_openai(url: str, prompt: str) -> str:
    from langchain_openai import ChatOpenAI

    return langchain(ChatOpenAI(model=MODEL, base_url=f"{url}/v1", api_key="unused", max_retries=0), prompt)


def litellm(prompt: str, **options) -> str:
    import litellm

    tools = [{"type": "function", "function": {
        "name": "weather", "description": weather.__doc__,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
    messages = [{"role": "user", "content": prompt}]
    while True:
        chunks = list(litellm.completion(messages=messages, tools=tools, stream=True, num_retries=0, max_retries=0, **options))
        message = litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump())
        messages += [{"role": "tool", "tool_call_id": call.id, "content": weather(**json.loads(call.function.arguments))}
                     for call in message.tool_calls]


def litellm_openai(url: str, prompt: str) -> str:
    return litellm(prompt, model=f"openai/{MODEL}", api_base=f"{url}/v1", api_key="unused")


def litellm_anthropic(url: str, prompt: str) -> str:
    return litellm(prompt, model=f"anthropic/{MODEL}", api_base=url, api_key="unused")


def litellm_ollama(url: str, prompt: str) -> str:
    return litellm(prompt, model=f"ollama_chat/{MODEL}", api_base=url)


def llm(url: str, prompt: str) -> str:
    from llm.default_plugins.openai_models import Chat

    model = Chat("mine", model_name=MODEL, api_base=f"{url}/v1", supports_tools=True)
    model.key = "unused"
    return model.chain(prompt, tools=[weather]).text()


def pydantic_ai(url: str, prompt: str) -> str:
    from pydantic_ai.models.openai import OpenAIChatModel

    return pydantic_ai_agent(OpenAIChatModel, url, prompt)


def pydantic_ai_responses(url: str, prompt: str) -> str:
    from pydantic_ai.models.openai import OpenAIResponsesModel

    return pydantic_ai_agent(OpenAIResponsesModel, url, prompt)


def pydantic_ai_agent(kind, url: str, prompt: str) -> str:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
    agent = Agent(kind(MODEL, provider=OpenAIProvider(openai_client=client)), tools=[weather])
    return agent.run_sync(prompt).output

