"""Short HTTP questions to a server under test: no proxy, no redirect, and an answer within the limit or none."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing it costs 40 ms, which those who ask nothing need not pay
    from http.client import HTTPConnection


def get(base_url: str, path: str, *, timeout_s: float, api_key: str | None = None) -> tuple[int, str]:
    """Return status and body of GET `base_url` + `path`; see `ask`."""
    return ask("GET", base_url, path, timeout_s=timeout_s, api_key=api_key)


def ask(method: str, base_url: str, path: str, *, timeout_s: float, api_key: str | None = None) -> tuple[int, str]:
    """Return status and body of a request without a body, such as GET or POST, of `base_url` + `path`.

    Raises TimeoutError when the whole answer has not come within `timeout_s`, ConnectionError when nobody answers in
    HTTP; both are OSErrors.
    """
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    with contextlib.closing(connection):
        connection.connect()
        with _deadline(connection.sock, timeout_s):
            return _ask(connection, method, parts.path.rstrip("/") + path, headers)


def get_json(base_url: str, path: str, *, timeout_s: float, api_key: str | None = None) -> Any:
    """Return the parsed body of GET `base_url` + `path`; raises OSError for anything but a 200 with JSON."""
    status, body = get(base_url, path, timeout_s=timeout_s, api_key=api_key)
    if status != 200:
        raise ConnectionError(f"{base_url}{path} answered {status}: {body[:200]!r}")
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise ConnectionError(f"{base_url}{path} did not answer in JSON: {body[:200]!r}") from error


def _ask(connection: HTTPConnection, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    from http.client import HTTPException

    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except HTTPException as error:
        raise ConnectionError(f"{connection.host}:{connection.port}{path} did not answer in HTTP: {error!r}") from error


@contextlib.contextmanager
def _deadline(connected: socket.socket, limit_s: float) -> Iterator[None]:
    """Turn the block into a TimeoutError once `limit_s` is over: a socket's own limit starts anew with every byte."""
    is_late = threading.Event()

    def cut() -> None:
        is_late.set()
        with contextlib.suppress(OSError):  # it is closed already
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except OSError as error:
        if is_late.is_set():
            raise TimeoutError(f"no whole answer within {limit_s:g} s") from error
        raise
    finally:
        timer.cancel()
    if is_late.is_set():  # a body of unknown length looks whole when it is cut
        raise TimeoutError(f"no whole answer within {limit_s:g} s")
