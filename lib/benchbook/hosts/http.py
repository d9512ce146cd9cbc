"""Short questions to a server under test: no proxy unless asked for, no redirect, and a whole answer within its limits or none.

Whoever answers may be a stranger: bodies are read up to a size and a time, and JSON is taken as `json_of` takes it.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from benchbook.hosts.way import PLAIN, Way

if TYPE_CHECKING:  # importing it costs 40 ms, which those who ask nothing need not pay
    from http.client import HTTPConnection, HTTPResponse
    from urllib.parse import SplitResult

MAX_BODY_BYTES = 16 << 20  # /metrics of a server of 16 engines has 4 MiB
MAX_LINE_BYTES = 1 << 20  # of a stream: an event holds some tokens
_PIECE_BYTES = 64 << 10


class TooLargeError(ConnectionError):
    """An answer that is larger than any that a server of vLLM gives."""


def get(base_url: str, path: str, *, timeout_s: float, way: Way = PLAIN) -> tuple[int, str]:
    """Return status and body of GET `base_url` + `path`; see `ask`."""
    return ask("GET", base_url, path, timeout_s=timeout_s, way=way)


def ask(
    method: str,
    base_url: str,
    path: str,
    *,
    timeout_s: float,
    way: Way = PLAIN,
    payload: Mapping[str, Any] | None = None,
) -> tuple[int, str]:
    """Return status and body of a request of `base_url` + `path`, with `payload` as its JSON where there is one.

    Raises TimeoutError when the whole answer has not come within `timeout_s`, ConnectionError when nobody answers in
    HTTP or the body is cut or larger than 16 MiB; both are OSErrors.
    """
    with _answer(method, base_url, path, timeout_s, timeout_s, way, payload) as response:
        return response.status, _body(response).decode(errors="replace")


def post_lines(
    base_url: str,
    path: str,
    payload: Mapping[str, Any],
    *,
    timeout_s: float,
    silence_s: float,
    way: Way = PLAIN,
) -> Generator[str]:
    """Yield the lines of a streamed answer as they come, without their ends.

    Raises TimeoutError when it has not ended within `timeout_s`, or nothing has come for `silence_s`, ConnectionError
    for a status other than 200, a stream that breaks off or is not UTF-8, a line over 1 MiB or 16 MiB in all.
    """
    with _answer("POST", base_url, path, timeout_s, min(timeout_s, silence_s), way, payload) as response:
        if response.status != 200:
            raise ConnectionError(f"HTTP {response.status}: {_body(response).decode(errors='replace')[:300]!r}")
        rest, num_bytes = b"", 0
        while piece := response.read1(_PIECE_BYTES):
            num_bytes += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            if num_bytes > MAX_BODY_BYTES or len(rest) > MAX_LINE_BYTES:
                raise TooLargeError("the stream is larger than any answer")
            yield from map(_text_of, lines)
        _refuse_cut(response)
    if rest:
        yield _text_of(rest)


def _text_of(line: bytes) -> str:
    try:
        return line.decode().rstrip("\r")
    except UnicodeDecodeError as error:
        raise ConnectionError(f"the stream is not UTF-8: {line[:200]!r}") from error


def json_of(text: str) -> Any:
    """Return what a stranger's JSON says; raise ValueError, in one line, for what is none or cannot be kept as such.

    NaN and infinity are no JSON, and it has no depth without end; half of a surrogate pair becomes a question mark.
    """
    try:
        return _whole(json.loads(text, parse_constant=_refuse_constant, parse_float=_finite))
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {_whole(key): _whole(item) for key, item in value.items()} if isinstance(value, dict) else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


@contextlib.contextmanager
def _answer(
    method: str,
    base_url: str,
    path: str,
    timeout_s: float,
    silence_s: float,
    way: Way,
    payload: Mapping[str, Any] | None,
) -> Iterator[HTTPResponse]:
    """Yield the answer once its head is there; what is wrong with it inside is an OSError in one line."""
    from http.client import HTTPException

    headers, body = way.all_headers, None
    if payload is not None:
        headers["Content-Type"], body = "application/json", json.dumps(payload).encode()
    connection, prefix = _connection(base_url, silence_s, way, headers)
    with contextlib.closing(connection):
        try:
            connection.connect()
            with _deadline(connection.sock, timeout_s):
                connection.request(method, prefix + path, body=body, headers=headers)
                yield connection.getresponse()
        except HTTPException as error:
            where = f"{connection.host}:{connection.port}{prefix}{path}"
            raise ConnectionError(f"{where} did not answer in HTTP: {repr(error)[:200]}") from error
        except UnicodeError as error:
            raise ConnectionError(f"{base_url} is no address: {error}") from error


def _connection(base_url: str, timeout_s: float, way: Way, headers: dict[str, str]) -> tuple[HTTPConnection, str]:
    """Return a connection to the server, not yet open, and what stands before all of its paths."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(base_url)
    is_https, prefix = parts.scheme == "https", parts.path.rstrip("/")
    kind = partial(http.client.HTTPSConnection, context=way.tls()) if is_https else http.client.HTTPConnection
    proxy = _proxy_for(parts) if way.proxy else None
    if proxy is None:
        return kind(parts.hostname, parts.port, timeout=timeout_s), prefix
    connection = kind(proxy.hostname, proxy.port or http.client.HTTP_PORT, timeout=timeout_s)
    own = _proxy_headers(proxy)
    if is_https:
        connection.set_tunnel(parts.hostname, parts.port, headers=own)
        return connection, prefix
    headers |= own
    return connection, f"http://{parts.netloc}{prefix}"


def _proxy_for(parts: SplitResult) -> SplitResult | None:
    """Return the address of the shell's proxy for a server; None where it names none, or excepts the server."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies_environment, proxy_bypass_environment

    proxies = getproxies_environment()
    named = proxies.get(parts.scheme) or proxies.get("all")
    if not named or proxy_bypass_environment(parts.netloc, proxies):
        return None
    return urlsplit(named if "//" in named else f"http://{named}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    """Return what a proxy wants to know of who asks."""
    import base64
    from urllib.parse import unquote

    if not proxy.username:
        return {}
    who = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(who.encode()).decode()}


def _body(response: HTTPResponse) -> bytes:
    body = response.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise TooLargeError(f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB")
    _refuse_cut(response)
    return body


def _refuse_cut(response: HTTPResponse) -> None:
    if response.length:  # read in pieces, a body that ends before its length looks whole
        raise ConnectionError(f"the answer was cut: {response.length:,} bytes are missing")


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
    except Exception as error:
        if is_late.is_set():
            raise TimeoutError(f"no whole answer within {limit_s:g} s") from error
        raise
    finally:
        timer.cancel()
    if is_late.is_set():  # a body of unknown length looks whole when it is cut
        raise TimeoutError(f"no whole answer within {limit_s:g} s")
