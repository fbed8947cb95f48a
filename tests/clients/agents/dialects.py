"""The four APIs that the stand-in speaks: how a request names its tools and their results, and how an answer looks, whole and
streamed. A step is a text, or a list of a tool's name and its arguments. `number` makes the ids of one conversation differ.
The shapes are those of the public references of OpenAI, Anthropic and Ollama."""

import json

MODEL = "scripted:latest"


def events(*parts: tuple[str, dict]) -> str:
    return "".join(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n" for name, data in parts)


class ChatCompletions:
    STREAM = "text/event-stream"
    conversation = staticmethod(lambda body: body["messages"])
    tools = staticmethod(lambda body: {tool["function"]["name"] for tool in body.get("tools") or []})
    results = staticmethod(lambda body: sum(message["role"] == "tool" for message in body["messages"]))
    USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}

    @classmethod
    def message(cls, step, number):
        if isinstance(step, str):
            return {"role": "assistant", "content": step}, "stop"
        call = {"index": 0, "id": f"call_{number}", "type": "function",
                "function": {"name": step[0], "arguments": json.dumps(step[1])}}
        return {"role": "assistant", "content": "", "tool_calls": [call]}, "tool_calls"

    @classmethod
    def whole(cls, step, number):
        message, reason = cls.message(step, number)
        return {"id": f"chat-{number}", "object": "chat.completion", "created": 1, "model": MODEL, "usage": cls.USAGE,
                "choices": [{"index": 0, "message": message, "finish_reason": reason}]}

    @classmethod
    def stream(cls, step, number):
        message, reason = cls.message(step, number)
        head = {"id": f"chat-{number}", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        chunks = [
            {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
            {**head, "choices": [], "usage": cls.USAGE},
        ]
        return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


class Responses:
    STREAM = "text/event-stream"
    conversation = staticmethod(lambda body: body["input"])
    tools = staticmethod(lambda body: {tool["name"] for tool in body.get("tools") or [] if "name" in tool})
    results = staticmethod(lambda body: sum(
        isinstance(item, dict) and item.get("type") == "function_call_output" for item in body["input"]))

    @classmethod
    def item(cls, step, number):
        if isinstance(step, str):
            return {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": step, "annotations": []}]}
        return {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "status": "completed",
                "name": step[0], "arguments": json.dumps(step[1])}

    @classmethod
    def whole(cls, step, number):
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12,
                 "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        return {"id": f"resp_{number}", "object": "response", "created_at": 1, "model": MODEL, "status": "completed",
                "output": [cls.item(step, number)], "usage": usage, "parallel_tool_calls": False, "tools": [],
                "tool_choice": "auto", "error": None, "incomplete_details": None, "instructions": None, "metadata": {}}

    @classmethod
    def stream(cls, step, number):
        answer = cls.whole(step, number)
        [item] = answer["output"]
        at = {"output_index": 0, "item_id": item["id"]}
        if isinstance(step, str):
            begun = {**item, "status": "in_progress", "content": []}
            at["content_index"] = 0
            part = {"type": "output_text", "text": "", "annotations": []}
            middle = [("response.content_part.added", {**at, "part": part}),
                      ("response.output_text.delta", {**at, "delta": step}),
                      ("response.output_text.done", {**at, "text": step}),
                      ("response.content_part.done", {**at, "part": {**part, "text": step}})]
        else:
            begun = {**item, "status": "in_progress", "arguments": ""}
            middle = [("response.function_call_arguments.delta", {**at, "delta": item["arguments"]}),
                      ("response.function_call_arguments.done", {**at, "arguments": item["arguments"]})]
        parts = [("response.created", {"response": {**answer, "status": "in_progress", "output": [], "usage": None}}),
                 ("response.output_item.added", {"output_index": 0, "item": begun}), *middle,
                 ("response.output_item.done", {"output_index": 0, "item": item}),
                 ("response.completed", {"response": answer})]
        return events(*((name, {**data, "sequence_number": n}) for n, (name, data) in enumerate(parts)))


class Messages:
    STREAM = "text/event-stream"
    conversation = staticmethod(lambda body: body["messages"])
    tools = staticmethod(lambda body: {tool["name"] for tool in body.get("tools") or []})
    results = staticmethod(lambda body: sum(
        isinstance(block, dict) and block.get("type") == "tool_result"
        for message in body["messages"] for block in message["content"]))
    USAGE = {"input_tokens": 10, "output_tokens": 2}

    @classmethod
    def whole(cls, step, number):
        if isinstance(step, str):
            block, reason = {"type": "text", "text": step}, "end_turn"
        else:
            block = {"type": "tool_use", "id": f"toolu_{number}", "name": step[0], "input": step[1]}
            reason = "tool_use"
        return {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": MODEL, "content": [block],
                "stop_reason": reason, "stop_sequence": None, "usage": cls.USAGE}

    @classmethod
    def stream(cls, step, number):
        answer = cls.whole(step, number)
        [block] = answer["content"]
        if isinstance(step, str):
            begun, delta = {**block, "text": ""}, {"type": "text_delta", "text": step}
        else:
            begun, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(step[1])}
        return events(
            ("message_start", {"message": {**answer, "content": [], "stop_reason": None}}),
            ("content_block_start", {"index": 0, "content_block": begun}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": answer["stop_reason"], "stop_sequence": None}, "usage": cls.USAGE}),
            ("message_stop", {}))


class OllamaChat:
    STREAM = "application/x-ndjson"
    conversation = staticmethod(lambda body: body["messages"])
    tools = ChatCompletions.tools
    results = ChatCompletions.results
    HEAD = {"model": MODEL, "created_at": "2026-01-01T00:00:00Z"}

    @classmethod
    def whole(cls, step, _number):
        message = {"role": "assistant", "content": step if isinstance(step, str) else ""}
        if not isinstance(step, str):
            message["tool_calls"] = [{"function": {"name": step[0], "arguments": step[1]}}]
        return {**cls.HEAD, "message": message, "done": True, "done_reason": "stop", "total_duration": 1,
                "load_duration": 1, "prompt_eval_count": 10, "prompt_eval_duration": 1, "eval_count": 2,
                "eval_duration": 1}

    @classmethod
    def stream(cls, step, number):
        last = cls.whole(step, number)
        first = {**cls.HEAD, "message": last["message"], "done": False}
        last["message"] = {"role": "assistant", "content": ""}
        return f"{json.dumps(first)}\n{json.dumps(last)}\n"


OF_PATH = {"/v1/chat/completions": ChatCompletions, "/v1/responses": Responses, "/v1/messages": Messages,
           "/api/chat": OllamaChat}
