"""A stand-in for the APIs of Workers AI and OpenAI that the recipes call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSIONS = 768
KEY = "key-of-the-model"
WORKERS_AI_MODEL = "@cf/baai/bge-base-en-v1.5"


def embedding(text: str) -> list[float]:
    """Return the embedding of a text, which differs from those of other texts."""
    return [float(sum(text.encode())), float(len(text)), *[0.5] * (DIMENSIONS - 2)]


@dataclass
class ModelApi:
    """What the stand-in was asked.

    :param url: Where it listens.
    :param requests: Path and body of each request with the right key.
    :param tool_calls: Name and arguments of the tools that the language model calls, in order, before it answers.
    """

    url: str = ""
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tool_calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and body of an answer."""
        self.requests.append((path, body))
        if path == f"/ai/run/{WORKERS_AI_MODEL}":
            return self._workers_ai(body["text"])
        if path == "/v1/embeddings":
            return self._openai_embeddings(body)
        if path == "/v1/chat/completions":
            return 200, self._chat(body)
        return 404, {}

    @staticmethod
    def _workers_ai(texts: list[str]) -> tuple[int, dict[str, Any]]:
        if len(texts) > 100:
            return 400, {"success": False, "errors": [{"code": 5006, "message": "too many texts"}], "result": None}
        data = [embedding(text) for text in texts]
        result = {"shape": [len(data), DIMENSIONS], "data": data, "pooling": "cls"}
        return 200, {"success": True, "errors": [], "messages": [], "result": result}

    @staticmethod
    def _openai_embeddings(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert (body["dimensions"], body["encoding_format"]) == (DIMENSIONS, "float")
        data = [
            {"object": "embedding", "index": index, "embedding": embedding(text)}
            for index, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return 200, {"object": "list", "data": data, "model": body["model"], "usage": usage}

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        done = sum(message["role"] == "tool" for message in body["messages"])
        message: dict[str, Any] = {"role": "assistant", "content": "The answer of the model."}
        if done < len(self.tool_calls):
            name, arguments = self.tool_calls[done]
            function = {"name": name, "arguments": json.dumps(arguments)}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"call-{done}", "type": "function", "function": function}],
            }
        return {
            "id": "completion",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }


@contextmanager
def serve() -> Iterator[ModelApi]:
    """Run the stand-in on a free port of the loopback interface."""
    api = ModelApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            authorized = self.headers["Authorization"] == f"Bearer {KEY}"
            status, answer = api.answer(self.path, body) if authorized else (401, {})
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
