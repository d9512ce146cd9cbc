"""The door of a server that we start: without its key nothing is answered but the paths of `OPEN`.

vLLM's own check of the key asks for it under /v1, /v2, /inference and /cohere alone; /invocations makes text for
anybody, /scale_elastic_ep ends engines. `Door` is given to vLLM by --middleware and stands before all endpoints, those
of later versions and of plugins too. It is plain ASGI: a request costs a microsecond, a token of an answer nothing.
The key has a variable of its own: vLLM before 0.32 hashes its VLLM_API_KEY into the key of its cache of compiled code,
so that each start would compile all anew, and writes it there.
This module runs inside of vLLM, so it imports the standard library only, as the face does.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from benchbook.hosts.face import KEY_VARIABLE

# The one list of what is meant to be open. Probes and scrapers come without a key, and so does `vllm bench serve`: it
# asks /metrics for what speculative decoding did, and cuts its prompts by /tokenize and /detokenize; were they closed,
# it would measure other prompts and say so only in its console text.
OPEN = ("/health", "/ping", "/version", "/metrics", "/tokenize", "/detokenize")

_App = Callable[[dict[str, Any], Callable, Callable], Awaitable[None]]


class Door:
    """ASGI middleware that answers 401 to whoever asks for more than `OPEN` without the key of this process."""

    def __init__(self, app: _App) -> None:
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            raise RuntimeError(f"{KEY_VARIABLE} is not set: the door would have no key")
        self._app, self._key = app, key.encode()

    def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> Awaitable[None]:
        if scope["type"] == "lifespan" or self._lets_in(scope):
            return self._app(scope, receive, send)
        return _refuse(scope, send)

    def _lets_in(self, scope: dict[str, Any]) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        headers = scope["headers"]
        scheme, _, key = _value(headers, b"authorization").partition(b" ")
        has_key = scheme.lower() == b"bearer" and hmac.compare_digest(key, self._key)
        return has_key or path in OPEN or _is_preflight(scope, headers)


def _is_preflight(scope: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a browser asks what it may ask: vLLM's CORS middleware answers that itself, for no endpoint."""
    is_options = scope.get("method") == "OPTIONS"
    return is_options and bool(_value(headers, b"origin") and _value(headers, b"access-control-request-method"))


def _value(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in headers if key == name), b"")


async def _refuse(scope: dict[str, Any], send: Callable) -> None:
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
    await send({"type": f"{kind}.start", "status": 401, "headers": headers})
    await send({"type": f"{kind}.body", "body": b'{"error":"Unauthorized"}'})
