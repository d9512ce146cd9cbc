"""The address of a server as people write it: with or without http://, with or without /v1 or another path of vLLM's."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from benchbook.hosts.process.ports import is_loopback
from benchbook.terms.errors import ExperimentError

_SOCKET = re.compile(r"(http\+)?unix:|\.{0,2}/(?!/)|~/")
_CUT_SCHEME = re.compile(r"https?(:/|/)(?!/)|https?//", re.IGNORECASE)
_ENDPOINT = re.compile(
    r"/(v1(/(chat/)?completions|/models|/responses)?|health|metrics|ping|version|docs|openapi\.json)$"
)


def server_url(address: str) -> str:
    """Return `address` as http(s)://host:port, without /v1, /health and what follows; raise ExperimentError when it is none.

    `127.0.0.1:8000`, `localhost:8000` and `[::1]:8000` are taken for http.
    """
    text = address.strip().partition("#")[0]  # what stands behind it no browser sends either
    if _SOCKET.match(text):
        raise _refused(address, "vLLM's client has no way to a unix socket; have the server listen on a port as well")
    if _CUT_SCHEME.match(text):
        raise _refused(address, "its beginning is cut")
    url = _ENDPOINT.sub("", (text if "://" in text else f"http://{text}").rstrip("/")).rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _refused(address, str(error)) from error
    if parts.scheme not in ("http", "https"):
        raise _refused(address, f"{parts.scheme}:// is not http:// or https://")
    if not host or host.isdigit() or any(character.isspace() for character in url):
        raise _refused(address, "no host stands in it")
    if parts.username or parts.password:
        raise _refused(address, "a key goes into OPENAI_API_KEY, where no record tells it")
    if parts.query:
        raise _refused(address, "it ends in a question, behind which no path can stand")
    return url


def is_same(url: str, other: str) -> bool:
    """Return whether two addresses of `server_url` are one: `localhost` is any address of this machine's own."""
    one, two = urlsplit(url), urlsplit(other)
    hosts = (one.hostname or "", two.hostname or "")
    is_local = "localhost" in hosts and all(map(is_loopback, hosts))
    return (one.scheme, one.port) == (two.scheme, two.port) and (hosts[0] == hosts[1] or is_local)


def _refused(address: str, why: str) -> ExperimentError:
    shown = re.sub(r"[^/]*@", "…@", address[:200])  # what stands before it may be a password, a key behind a question
    shown = re.sub(r"([?#]).*", r"\1…", shown, flags=re.DOTALL)
    return ExperimentError(f"{shown!r} is no address of a server: {why}; write it as http://127.0.0.1:8000")
