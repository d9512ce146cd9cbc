"""The front of `transformers serve`, a program of its own: `python -P front.py NAME,NAME serve MODEL --host … --port …`.

It is run by whichever Python has transformers, and changes five things of its server:
- without the key in KEY_VARIABLE nothing is answered but the paths of OPEN;
- /v1/models lists the names of the launch, where transformers lists the cache of its hub, and all of them are answered;
- /version tells that of transformers, which has no such path;
- what vLLM's client says to every server, and this one refuses, is said in its own words (`as_it_wants`);
- a stream tells the counts of tokens in an event of their own, and ends with [DONE], as OpenAI's does (`told_apart`).
"""

from __future__ import annotations

import hmac
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

OPEN = ("/health", "/version")
_KEY_VARIABLE = "BENCHBOOK_API_KEY"  # face.KEY_VARIABLE: nothing of ours is imported, by a Python that need not have it
_ASKED = ("/v1/completions", "/v1/chat/completions")
_NO_END = -1  # no token's id: transformers generates on until the length is reached


def as_it_wants(body: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a request of vLLM's client in the words of `transformers serve`, which knows its model by the first of `names`.

    A penalty of 1 is none and is left out, a length of the answer has its older name, and that an answer goes on past
    its own end is said by a token that ends it and never comes. All else stays: what it does not know, it refuses.
    """
    asked = dict(body)
    if asked.get("model") in names:
        asked["model"] = names[0]
    if asked.get("repetition_penalty") == 1:
        del asked["repetition_penalty"]
    if "max_completion_tokens" in asked:
        asked["max_tokens"] = asked.pop("max_completion_tokens")
    if asked.pop("ignore_eos", False):
        length = asked.get("max_tokens")
        asked["generation_config"] = json.dumps({"eos_token_id": _NO_END, "max_new_tokens": length})
    return asked


def told_apart(events: str) -> str:
    """Return the events of a stream with the counts of tokens in one of their own, and the end behind it.

    Where they stand beside a piece of text, vLLM's client does not see them.
    """
    return "\n\n".join(part for event in events.split("\n\n") for part in _apart(event))


def _apart(event: str) -> list[str]:
    try:
        told = json.loads(event.removeprefix("data: ")) if '"usage"' in event else None
    except ValueError:
        told = None
    if not isinstance(told, dict) or not told.get("usage") or not told.get("choices"):
        return [event]
    text = {name: value for name, value in told.items() if name != "usage"}
    return [f"data: {json.dumps(text)}", f"data: {json.dumps({**told, 'choices': []})}", "data: [DONE]"]


class Front:
    """ASGI middleware before the server of transformers."""

    def __init__(self, app: Callable[..., Awaitable[None]], names: Sequence[str], version: str) -> None:
        self._app, self._names, self._key = app, names, os.environ[_KEY_VARIABLE].encode()
        self._told = {
            "/v1/models": {"object": "list", "data": [{"id": name, "object": "model"} for name in names]},
            "/version": {"version": version},
        }

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        path = scope["path"]
        if path not in OPEN and not self._has_key(scope):
            return await _answer(send, 401, {"error": "Unauthorized"})
        if path in self._told:
            return await _answer(send, 200, self._told[path])
        if path in _ASKED and scope.get("method") == "POST":
            receive, send = await self._reworded(scope, receive), _streaming(send)
        await self._app(scope, receive, send)

    def _has_key(self, scope: dict[str, Any]) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, key = given.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(key, self._key)

    async def _reworded(self, scope: dict[str, Any], receive: Callable) -> Callable:
        """Return what hands on the request's body as this server wants it; one that is no JSON object stays."""
        text, is_more = b"", True
        while is_more:
            message = await receive()
            text, is_more = text + message.get("body", b""), message.get("more_body", False)
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if isinstance(body, dict):
            text = json.dumps(as_it_wants(body, self._names)).encode()
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        scope["headers"] = [*headers, (b"content-length", str(len(text)).encode())]
        left = [{"type": "http.request", "body": text, "more_body": False}]

        async def handed_on() -> dict[str, Any]:
            return left.pop() if left else await receive()

        return handed_on


def _streaming(send: Callable) -> Callable:
    """Return what hands on an answer, with `told_apart` of a stream of events; the server writes whole events at a time."""
    kinds: list[bytes] = []

    async def handed_on(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kinds[:] = [value for name, value in message["headers"] if name.lower() == b"content-type"]
        elif message.get("body") and any(kind.startswith(b"text/event-stream") for kind in kinds):
            message = {**message, "body": told_apart(message["body"].decode()).encode()}
        await send(message)

    return handed_on


async def _answer(send: Callable, status: int, payload: dict[str, Any]) -> None:
    text = json.dumps(payload).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def main() -> None:
    """Run the command line of transformers with the front before its server."""
    names, words = sys.argv[1].split(","), sys.argv[2:]
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]
    import transformers
    from transformers.cli import transformers as command
    from transformers.cli.serving import server

    build = server.build_server
    server.build_server = lambda *given, **named: Front(build(*given, **named), names, transformers.__version__)
    sys.argv = ["transformers", *words]
    command.main()


if __name__ == "__main__":
    main()
