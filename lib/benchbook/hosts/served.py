"""What can be asked of any server, whoever started it."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from benchbook.hosts import http
from benchbook.hosts.cards import Card, cards_of
from benchbook.hosts.engines import VLLM
from benchbook.hosts.face import CacheReset, Engine
from benchbook.hosts.process import ports
from benchbook.hosts.process.pythons import HERE
from benchbook.hosts.way import Way
from benchbook.terms.errors import Cause, IdentityError, MeasureError

ANSWER_LIMIT_S = 10.0  # for one answer of a live server; under full load /health takes milliseconds
RESET_LIMIT_S = 10.0  # for the blocks of finished requests to come free
RESET_POLL_S = 0.05
MAX_VERSION = 100  # characters
_GONE = (404, 405, 501)  # what a router or gateway says of an endpoint that it does not have


class ServedModel:
    """A server of `engine` at `base_url`: who it is, whether it lives, what it counts."""

    engine: Engine = VLLM
    base_url: str
    served_name: str  # the name to send requests with
    api_key: str | None
    argv: Sequence[str]  # of its process; empty where it is not ours
    hub_env: Mapping[str, str]  # where its model hub is; empty where it is not ours
    model_path: str | None = None  # of a server of ours, where its model's files are
    is_ours = True  # benchbook started it, here, for the same user
    may_reset = False  # somebody said that its prefix cache may be emptied, wherever it is

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.served_name!r} at {self.base_url}>"

    @property
    def way(self) -> Way:
        """How it is reached beside its address."""
        return Way(self.api_key, self.engine.headers)

    @property
    def verify(self) -> bool:
        """Whether clients in Python are to look who answers by TLS, as `requests` and `httpx` call it."""
        return not self.way.is_insecure

    @property
    def urls(self) -> Sequence[str]:
        """All addresses that get its requests, in turn; the first is `base_url`."""
        return (self.base_url,)

    @property
    def hostnames(self) -> list[str]:
        """The host of each of them."""
        return [urlsplit(url).hostname or "" for url in self.urls]

    @property
    def counter_urls(self) -> Sequence[str]:
        """The addresses of the servers whose counters tell of it: its own."""
        return self.urls

    def metrics_text(self, timeout_s: float = ANSWER_LIMIT_S) -> str:
        """Return the server's Prometheus text, as it stands now; of several servers behind it one after the other."""
        path, label = self.engine.counters.path, self.engine.counters.engine_label
        pages = []
        for url in self.counter_urls:
            status, text = http.get(url, path, timeout_s=timeout_s, way=self.way)
            if status != 200:
                raise ConnectionError(f"{url}{path} answered {status}")
            pages.append(text)
        if len(pages) == 1:
            return pages[0]
        return "\n".join(page.replace(f'{label}="', f'{label}="{url} ') for url, page in zip(self.counter_urls, pages))

    def health(self, timeout_s: float = ANSWER_LIMIT_S) -> int:
        """Return the status with which it says how it is; raise OSError when nothing comes within `timeout_s`."""
        return self._health_of(self.base_url, timeout_s)

    def _health_of(self, url: str, timeout_s: float) -> int:
        return http.get(url, self.health_path, timeout_s=timeout_s, way=self.way)[0]

    @property
    def health_path(self) -> str:
        """Where it says how it is."""
        return self.engine.health_path

    def is_healthy(self, timeout_s: float = ANSWER_LIMIT_S) -> bool:
        """Return whether it says within `timeout_s` that it is healthy."""
        try:
            return self.health(timeout_s) == 200
        except OSError:
            return False

    @property
    def health_url(self) -> str:
        """Where the server says whether it is healthy."""
        return f"{self.base_url}{self.health_path}"

    @property
    def version(self) -> str | None:
        """The version that the server tells; None where it does not, as behind a router."""
        return self._version_of(self.base_url)

    def _version_of(self, url: str) -> str | None:
        try:
            status, text = http.get(url, self.engine.version_path, timeout_s=ANSWER_LIMIT_S, way=self.way)
            told = http.json_of(text)[self.engine.version_key] if status == 200 else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return told if isinstance(told, str) and told.isprintable() and len(told) <= MAX_VERSION else None

    def served_models(self) -> list[Card]:
        """Return the cards of /v1/models: name, root, length and so on; none where it is not there.

        Raises OSError when no list of models is answered.
        """
        return self._cards(self.base_url, *self._models(self.base_url))

    def _models(self, url: str) -> tuple[int, str]:
        return http.get(url, "/v1/models", timeout_s=ANSWER_LIMIT_S, way=self.way)

    def _cards(self, url: str, status: int, text: str) -> list[Card]:
        if status in _GONE:
            return []
        try:
            if status != 200:
                raise ValueError(f"it answered {status}: {text[:200]!r}")
            return cards_of(http.json_of(text))
        except ValueError as error:
            raise ConnectionError(f"{url}/v1/models: {error}") from error

    def reset_prefix_cache(self) -> None:
        """Empty the prefix cache and return when the server says that it is empty.

        Only developer mode offers that, and only a server on this machine is asked, or one of which somebody said that it
        may be. Raises MeasureError otherwise, and when requests still hold blocks after some seconds.
        """
        for url, host in zip(self.urls, self.hostnames):
            if not self.may_reset and not ports.is_loopback(host):
                raise _not_emptied(f"{url} is not on this machine", "measure from the machine that serves")
        if self.engine.cache_reset is None:
            raise _not_emptied(f"{self.engine.title} has no way to it", "leave the reset out")
        for url in self.urls:
            self._empty(url, self.engine.cache_reset)

    def _empty(self, url: str, reset: CacheReset) -> None:
        deadline = time.monotonic() + RESET_LIMIT_S
        while True:
            status, text = http.ask("POST", url, reset.path, timeout_s=ANSWER_LIMIT_S, way=self.way)
            if status != 200:
                raise _not_emptied(f"{url}{reset.path} answered {status}", reset.hint)
            if _says_success(text):
                return
            if time.monotonic() > deadline:
                raise _not_emptied(f"blocks are still held after {RESET_LIMIT_S:g} s", "who else uses this server?")
            time.sleep(RESET_POLL_S)

    def check_served_by(self, pids: Collection[int], port: int) -> None:
        """Raise IdentityError unless one of `pids` holds `port` and answers with our nonce and our engine's version."""
        holders = ports.listeners(port)
        strangers = [f"pid {pid} ({command})" for pid, command in holders if pid not in pids]
        if not self.engine.container and (strangers or not holders):
            evidence = f"port {port} is held by {strangers[0] if strangers else 'nobody we can see'}"
            cause = Cause("port_taken", evidence, "end it, or let it be: another start chooses another port")
            raise IdentityError(f"a stranger answers at {self.base_url}: {evidence}", cause)
        try:
            names, version = [card.id for card in self.served_models()], self.version
        except OSError as error:
            cause = Cause("crashed", str(error), "read the end of the server's log")
            raise IdentityError(
                f"{self.base_url} was healthy and then did not say who it is: {error}", cause
            ) from error
        if self.engine.takes_name and self.served_name not in names:
            cause = Cause("wrong_model", f"served names: {', '.join(names)}", "this is not the server that was started")
            raise IdentityError(f"{self.base_url} does not serve {self.served_name!r} but {', '.join(names)}", cause)
        self._check_version(version)

    def _check_version(self, told: str | None) -> None:
        python = self.engine.python or HERE
        installed = python.version_of(self.engine.package) if self.engine.package else None
        if installed is None:
            return  # what was started is not of this environment
        # What stands behind the + names the build, and /version leaves it out.
        if (told or "none").partition("+")[0] != installed.partition("+")[0]:
            cause = Cause(
                "wrong_version",
                f"it tells {told}, installed is {installed}",
                f"see which {self.engine.title} its Python has",
            )
            raise IdentityError(
                f"{self.base_url} answers as {self.engine.title} {told}, but {installed} was started", cause
            )


def _says_success(text: str) -> bool:
    """Return whether the answer is {"success": true}; an older vLLM's empty answer vouches for nothing."""
    try:
        return json.loads(text)["success"] is True
    except (ValueError, KeyError, TypeError):
        return False


def _not_emptied(evidence: str, hint: str) -> MeasureError:
    return MeasureError(f"the prefix cache was not emptied: {evidence}", Cause("cache_not_emptied", evidence, hint))
