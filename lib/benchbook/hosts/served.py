"""What can be asked of any server, whoever started it."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchbook.hosts import http
from benchbook.hosts.access import key_of
from benchbook.hosts.cards import Card, cards_of, named
from benchbook.hosts.engines import VLLM, engine_named
from benchbook.hosts.face import Engine
from benchbook.hosts.model.files import planned_path
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.process import ports, registry
from benchbook.hosts.process.address import server_url
from benchbook.hosts.process.pythons import HERE
from benchbook.terms.errors import Cause, HostDiedError, IdentityError, MeasureError
from benchbook.terms.likeness import alike, did_you_mean

ANSWER_LIMIT_S = 10.0  # for one answer of a live server; under full load /health takes milliseconds
RESET_LIMIT_S = 10.0  # for the blocks of finished requests to come free
RESET_POLL_S = 0.05
MAX_VERSION = 100  # characters
MAX_COMPARED = 1000  # names, for the one that may have been meant
_GONE = (404, 405, 501)  # what a router or gateway says of an endpoint that it does not have
_DEAD = (500, 502, 503, 504)  # its engine is dead, or a router has nobody behind it


class ServedModel:
    """A server of `engine` at `base_url`: who it is, whether it lives, what it counts."""

    engine: Engine = VLLM
    base_url: str
    served_name: str  # the name to send requests with
    api_key: str | None
    argv: Sequence[str]  # of its process; empty where it is not ours
    hub_env: Mapping[str, str]  # where its model hub is; empty where it is not ours
    is_ours = True  # benchbook started it, here, for the same user

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.served_name!r} at {self.base_url}>"

    def metrics_text(self) -> str:
        """Return the server's Prometheus text, as it stands now."""
        path = self.engine.counters.path
        status, text = http.get(self.base_url, path, timeout_s=ANSWER_LIMIT_S, api_key=self.api_key)
        if status != 200:
            raise ConnectionError(f"{self.base_url}{path} answered {status}")
        return text

    def is_healthy(self, timeout_s: float = ANSWER_LIMIT_S) -> bool:
        """Return whether it says within `timeout_s` that it is healthy."""
        try:
            return http.get(self.base_url, self.engine.health_path, timeout_s=timeout_s, api_key=self.api_key)[0] == 200
        except OSError:
            return False

    @property
    def health_url(self) -> str:
        """Where the server says whether it is healthy."""
        return f"{self.base_url}{self.engine.health_path}"

    @property
    def version(self) -> str | None:
        """The version that the server tells; None where it does not, as behind a router."""
        try:
            status, text = http.get(
                self.base_url, self.engine.version_path, timeout_s=ANSWER_LIMIT_S, api_key=self.api_key
            )
            told = http.json_of(text)["version"] if status == 200 else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return told if isinstance(told, str) and told.isprintable() and len(told) <= MAX_VERSION else None

    def served_models(self) -> list[Card]:
        """Return the cards of /v1/models: name, root, length and so on; none where it is not there.

        Raises OSError when no list of models is answered.
        """
        return self._cards(*self._models())

    def _models(self) -> tuple[int, str]:
        return http.get(self.base_url, "/v1/models", timeout_s=ANSWER_LIMIT_S, api_key=self.api_key)

    def _cards(self, status: int, text: str) -> list[Card]:
        if status in _GONE:
            return []
        try:
            if status != 200:
                raise ValueError(f"it answered {status}: {text[:200]!r}")
            return cards_of(http.json_of(text))
        except ValueError as error:
            raise ConnectionError(f"{self.base_url}/v1/models: {error}") from error

    def reset_prefix_cache(self) -> None:
        """Empty the prefix cache and return when the server says that it is empty.

        Only developer mode offers that, and only a server on this machine is asked. Raises MeasureError otherwise, and
        when requests still hold blocks after some seconds.
        """
        if not ports.is_loopback(urlsplit(self.base_url).hostname or ""):
            raise _not_emptied(f"{self.base_url} is not on this machine", "measure from the machine that serves")
        deadline = time.monotonic() + RESET_LIMIT_S
        reset = self.engine.cache_reset
        if reset is None:
            raise _not_emptied(f"{self.engine.title} has no way to it", "leave the reset out")
        while True:
            status, text = http.ask("POST", self.base_url, reset.path, timeout_s=ANSWER_LIMIT_S, api_key=self.api_key)
            if status != 200:
                raise _not_emptied(f"{self.base_url}{reset.path} answered {status}", reset.hint)
            if _says_success(text):
                return
            if time.monotonic() > deadline:
                raise _not_emptied(f"blocks are still held after {RESET_LIMIT_S:g} s", "who else uses this server?")
            time.sleep(RESET_POLL_S)

    def check_served_by(self, pids: Collection[int], port: int) -> None:
        """Raise IdentityError unless one of `pids` holds `port` and answers with our nonce and our engine's version."""
        holders = ports.listeners(port)
        strangers = [f"pid {pid} ({command})" for pid, command in holders if pid not in pids]
        if strangers or not holders:
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
        if self.served_name not in names:
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


class AttachedServer(ServedModel):
    """A server that somebody else owns: it is measured and never ended."""

    def __init__(self, base_url: str, served_name: str, api_key: str | None, is_ours: bool = False) -> None:
        self.base_url, self.served_name, self.api_key, self.is_ours = base_url, served_name, api_key, is_ours
        self.argv: list[str] = []  # of its process, where it is ours; else nobody knows
        self.hub_env: dict[str, str] = {}  # likewise: where its model hub is

    def check_alive(self) -> None:
        """Raise HostDiedError when the server is gone, says that its engine is dead, or does not answer in time.

        One that has no such path, as many a router, answers all the same: that is no death.
        """
        try:
            path = self.engine.health_path
            status, _ = http.get(self.base_url, path, timeout_s=ANSWER_LIMIT_S, api_key=self.api_key)
        except ConnectionError as error:
            raise self._died("crashed", f"{self.health_url}: {error}") from error
        except OSError as error:
            raise self._died("hung", f"{self.health_url}: {error}") from error
        if status in _DEAD:
            raise self._died("crashed", f"{self.health_url} answered {status}")

    def names(self, source: str, model: str | None) -> list[str]:
        """Return the names of /v1/models, or `model` where it lists none; raise ConnectionError where nobody names any.

        Raises IdentityError when we are not let in with the key from `source`.
        """
        status, text = self._models()
        if status in (401, 403):
            wants = f"does not take the key {source}" if source else "wants a key"
            cause = Cause("wrong_key", f"{self.base_url}/v1/models answered {status}", "set OPENAI_API_KEY to its key")
            raise IdentityError(f"a server is there at {self.base_url} but {wants}: {cause.hint}", cause)
        names = [card.id for card in self._cards(status, text)] or list(filter(None, [model]))
        if not names:
            raise ConnectionError(f"{self.base_url}/v1/models answered {status}")
        return names

    def _died(self, code: str, evidence: str) -> HostDiedError:
        return HostDiedError(
            f"the server at {self.base_url} died: {evidence}", Cause(code, evidence, "see the server's own log")
        )


def attach(base_url: str, model: str | None = None, api_key: str | None = None) -> AttachedServer:
    """Return the running server at `base_url`, after a look at who answers.

    `model` must be a name that it serves, or the model itself, as "tiny" or a folder; without one, its first name is
    taken. One that lists no models, as some gateways, is taken at the word of `model`. The API key of a server that
    benchbook started is read from it; that of another comes from OPENAI_API_KEY or VLLM_API_KEY in the environment.
    Raises IdentityError for anything that is not that server.
    """
    url = server_url(base_url)
    ours = registry.server_at(url)
    variable = next((name for name in ("OPENAI_API_KEY", "VLLM_API_KEY") if os.environ.get(name)), None)
    key = api_key or (ours and key_of(ours)) or (variable and os.environ[variable])
    server = AttachedServer(ours.base_url if ours else url, "", key, is_ours=ours is not None)
    if ours:
        server.engine = engine_named(ours.engine or VLLM.name, ours.python)
        server.argv, server.hub_env = list(ours.argv), hub_variables(registry.environment_of(ours))
    try:
        names = server.names("that was given" if api_key else f"in {variable}" if variable else "", model)
    except (OSError, ValueError) as error:
        cause = Cause("not_vllm", str(error), _hint_of(error))
        raise IdentityError(f"no vLLM server answers at {server.base_url}: {error}; {cause.hint}", cause) from error
    server.served_name = _name_for(server, model, names, ours.served_name if ours else names[0])
    return server


def _hint_of(error: Exception) -> str:
    """Return what to do about a server that does not say who it is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "set SSL_CERT_FILE to a file with its certificate (PEM) if you trust it: all clients here heed that"
    if isinstance(error, ssl.SSLError):
        return "write http:// if the server speaks no TLS"
    return "start vLLM there, or leave base_url empty to start one here; name the model if it does not list any"


def _name_for(server: AttachedServer, model: str | None, names: Sequence[str], without: str) -> str:
    """Return the served name that stands for `model`; raise IdentityError, with the nearest one, where none does."""
    if not model:
        return without
    path = Path(os.path.expanduser(planned_path(model)))
    found = next((name for name in (model, str(path), str(path.absolute())) if name in names), None)
    if found:
        return found
    hint = did_you_mean(alike(model, names[:MAX_COMPARED], cutoff=0.0))
    cause = Cause("wrong_model", f"served names: {named(names)}", hint)
    raise IdentityError(f"{server.base_url} does not serve {model!r}; it serves {named(names)}; {hint}", cause)
