#!/usr/bin/env python3
"""A stand-in for Ollama that follows a script, since the test models can't use tools.

The script is part of the prompt, so the stand-in keeps no state about a conversation: the number of tool results in a request
says which step is next. `prompt(steps, end)` writes it. A request without tools, such as for a title, is answered with a word.

It notes every request; GET /-/requests returns the notes and POST /-/clear forgets them. The program prints its URL and ends
when its standard input closes.
"""

import base64
import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dialects

MODEL = "scripted:latest"
# More than the longest prompt of any client here, so that none shortens it.
CONTEXT = 200_000

# In Base64, which survives each client's way of quoting a prompt.
SCRIPT = re.compile("<<<([A-Za-z0-9+/=]+)>>>")


def prompt(steps: list[tuple[str, dict]], end: str) -> str:
    """A prompt that makes the stand-in call each tool of `steps` in turn, then say `end`."""
    script = base64.b64encode(json.dumps([*steps, end]).encode())
    return f"Follow this script: <<<{script.decode()}>>>"


def strings(value):
    """Every string within a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def next_step(dialect, body: dict) -> str | list:
    """What to answer: a text, or the name of a tool and its arguments."""
    found = [match for text in strings(dialect.conversation(body)) for match in SCRIPT.findall(text)]
    tools = dialect.tools(body)
    if not found or not tools:
        return "Title"
    step = json.loads(base64.b64decode(found[-1]))[dialect.results(body)]
    if isinstance(step, list) and step[0] not in tools:
        return f"the client has no tool {step[0]}, only {', '.join(sorted(tools))}"
    return step


def show(path: str) -> dict | str | None:
    """The answer to a request that generates nothing."""
    entry = {"name": MODEL, "model": MODEL, "size": 1, "digest": "0" * 64, "modified_at": "2026-01-01T00:00:00Z",
             "details": {"family": "llama", "format": "gguf", "parameter_size": "1B", "quantization_level": "Q4_0"}}
    card = {"id": MODEL, "object": "model", "created": 1, "owned_by": "library"}
    return {
        "/": "Ollama is running",
        "/api/version": {"version": "0.30.0"},
        "/api/tags": {"models": [entry]},
        "/api/ps": {"models": [entry]},
        "/api/show": {"details": entry["details"], "capabilities": ["completion", "tools"],
                      "model_info": {"general.architecture": "llama", "llama.context_length": CONTEXT}},
        "/v1/models": {"object": "list", "data": [card]},
        f"/v1/models/{MODEL}": card,
    }.get(path)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    noted: list[dict] = []
    noting = threading.Lock()

    def answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path == "/-/requests":
            with self.noting:
                return self.send(self.noted)
        if path == "/-/clear":
            with self.noting:
                self.noted.clear()
            return self.send({})
        with self.noting:
            self.noted.append({"method": self.command, "path": self.path, "headers": dict(self.headers),
                               "body": data.decode()})
        dialect = dialects.OF_PATH.get(path)
        if dialect is None:
            return self.send(show(path))
        body = json.loads(data)
        step = next_step(dialect, body)
        number = dialect.results(body)
        if body.get("stream", path == "/api/chat"):
            self.send(dialect.stream(step, number), dialect.STREAM)
        else:
            self.send(dialect.whole(step, number))

    do_GET = do_POST = do_HEAD = answer

    def send(self, answer: object, kind: str = "application/json") -> None:
        status = 200
        if answer is None:
            status, answer = 404, {"error": f"the stand-in has no {self.path}"}
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *_) -> None:
        pass


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
