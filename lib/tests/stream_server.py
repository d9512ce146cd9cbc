"""A server that streams what a test says, event by event, and keeps each request's bytes as they came.

    with stream_server(lambda body: [token("w1"), 0.01, token("w2"), usage(3, 2)]) as server: ...

A number among the events is a pause (s), a list are events in one write. An answer of None is HTTP 500.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Event = dict[str, Any] | list[dict[str, Any]] | float
Answer = Callable[[dict[str, Any]], Sequence[Event] | None]


class StreamServer(ThreadingHTTPServer):
    """Answers each request by `answer`; `requests` has (path, body as it came), in the order of their coming."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StreamServer

    def do_GET(self) -> None:  # its page of metrics, of which there is none
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, body))
        events = self.server.answer(json.loads(body))
        self.send_response(200 if events is not None else 500)
        if events is None:
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            if isinstance(event, float):
                time.sleep(event)
            else:
                together = event if isinstance(event, list) else [event]
                self._write(b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in together))
        self._write(b"data: [DONE]\n\n")
        self._write(b"")

    def _write(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stream_server(answer: Answer) -> Iterator[StreamServer]:
    """Yield a server that answers by `answer`; it is gone after."""
    server = StreamServer(answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def token(text: str | None, finish_reason: str | None = None) -> dict[str, Any]:
    """Return a chunk of a completion."""
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish_reason}]}


def delta(finish_reason: str | None = None, **parts: Any) -> dict[str, Any]:
    """Return a chunk of a chat's answer."""
    return {"choices": [{"index": 0, "delta": parts, "finish_reason": finish_reason}]}


def counted(chunk: dict[str, Any], prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """Return a chunk that counts beside its text."""
    return {**chunk, "usage": usage(prompt_tokens, completion_tokens)["usage"]}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """Return the chunk that counts, which has no choices."""
    return {"choices": [], "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}}
