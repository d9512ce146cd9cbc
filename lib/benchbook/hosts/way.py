"""How a server is reached: its key and further headers, whom to trust, and whether by a proxy.

The values of secrets are in it: it lives in memory and is never written or shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchbook.terms.attached import Reach
from benchbook.terms.errors import ExperimentError
from benchbook.terms.secret_names import note_secret

if TYPE_CHECKING:
    import ssl

USUAL_KEYS = ("OPENAI_API_KEY", "VLLM_API_KEY")  # where a key is looked for unless a variable is named


@dataclass(frozen=True)
class Way:
    """How a server is reached beside its address."""

    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # beside the key's
    ca_file: str = ""  # certificates that are trusted; '' takes those that the environment names, else the system's
    is_insecure: bool = False  # whoever answers is believed
    proxy: bool = False  # by the shell's proxy

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers of each request."""
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return {**self.headers, **key}

    @property
    def trusted(self) -> dict[str, str]:
        """The variables by which other clients trust the same certificates."""
        return {"SSL_CERT_FILE": self.ca_file, "REQUESTS_CA_BUNDLE": self.ca_file} if self.ca_file else {}

    def tls(self) -> ssl.SSLContext:
        """Return how https is spoken; raise OSError for certificates that cannot be read."""
        return _context(self.ca_file, self.is_insecure, os.environ.get("SSL_CERT_FILE", ""))


PLAIN = Way()


@lru_cache(maxsize=16)
def _context(ca_file: str, is_insecure: bool, _: str) -> ssl.SSLContext:
    """Return a context of TLS, made once: reading the system's certificates takes 20 ms."""
    import ssl

    context = ssl.create_default_context(cafile=ca_file or None)
    if is_insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def way_of(reach: Reach, api_key: str | None = None) -> Way:
    """Return the way that `reach` names, its secrets from this process's environment; `api_key` goes before the usual ones.

    Raises ExperimentError for a variable that is not set, and for certificates that cannot be read.
    """
    for name in reach.variables:
        note_secret(name)
    missing = [name for name in reach.variables if not os.environ.get(name)]
    if missing:
        raise ExperimentError(f"{' and '.join(missing)} is not set in the environment: export it first")
    key = os.environ[reach.api_key_env] if reach.api_key_env else api_key
    way = Way(
        api_key=key or next((os.environ[name] for name in USUAL_KEYS if os.environ.get(name)), None),
        headers={header: _sendable(name) for header, name in reach.headers_env.items()},
        ca_file=reach.ca_file,
        is_insecure=reach.insecure,
        proxy=reach.proxy,
    )
    if reach.ca_file:
        _check_certificates(way)
    return way


def key_source(reach: Reach) -> str:
    """Return the variable that a server's key comes from; '' where none is set."""
    return reach.api_key_env or next((name for name in USUAL_KEYS if os.environ.get(name)), "")


def _check_certificates(way: Way) -> None:
    try:
        if not Path(way.ca_file).is_file():
            raise ExperimentError(f"ca_file: there is no file {way.ca_file}")
        way.tls()
    except OSError as error:  # ssl's own errors are such
        raise ExperimentError(f"ca_file: {way.ca_file} holds no certificate in PEM: {error}") from error


def _sendable(name: str) -> str:
    """Return the value of a variable as that of a header, which is one line of Latin-1."""
    value = os.environ[name]
    if not value.isprintable() or not value.isascii():
        raise ExperimentError(f"{name} holds what no header can carry: one line of ASCII")
    return value
