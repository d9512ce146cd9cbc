"""A server that somebody else runs: it is looked at, measured, and never ended."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from benchbook.hosts.access import key_of
from benchbook.hosts.cards import named
from benchbook.hosts.engines import VLLM, engine_named
from benchbook.hosts.model.files import planned_path
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.process import registry
from benchbook.hosts.process.address import server_url
from benchbook.hosts.served import ANSWER_LIMIT_S, ServedModel
from benchbook.hosts.way import Way, key_source, way_of
from benchbook.terms.attached import Reach
from benchbook.terms.errors import Cause, HostDiedError, IdentityError
from benchbook.terms.likeness import alike, did_you_mean

MAX_COMPARED = 1000  # names, for the one that may have been meant
_LOCKED = (401, 403)  # without the key, or with another
_DEAD = (500, 502, 503, 504)  # its engine is dead, or a router has nobody behind it
_STARTED = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)  # by Prometheus' own client
_MODELS = "/v1/models"
_USUAL_WAY = Reach()


class AttachedServer(ServedModel):
    """A server that somebody else owns: it is measured and never ended."""

    def __init__(self, base_url: str, served_name: str, way: Way, is_ours: bool = False) -> None:
        self.base_url, self.served_name, self.api_key, self.is_ours = base_url, served_name, way.api_key, is_ours
        self._way = way
        self.key_variable = ""  # that holds its key, where one was named
        self.is_engine = True  # and no router before some
        self.behind: Sequence[str] = ()  # the servers behind a router, as far as somebody named them
        self.also: Sequence[str] = ()  # further addresses of the same service
        self.argv: list[str] = []  # of its process, where it is ours; else nobody knows
        self.hub_env: dict[str, str] = {}  # likewise: where its model hub is

    @property
    def way(self) -> Way:
        """How it is reached beside its address."""
        return self._way

    @property
    def urls(self) -> Sequence[str]:
        """All addresses that get its requests, in turn; the first is `base_url`."""
        return (self.base_url, *self.also)

    @property
    def counter_urls(self) -> Sequence[str]:
        """The addresses of the servers whose counters tell of it: those behind it, where they are named."""
        return tuple(self.behind) or self.urls

    @property
    def tells_version(self) -> bool:
        """Whether it tells a version itself, as an engine's own server does."""
        return all(self._version_of(url) is not None for url in self.urls)

    @property
    def health_path(self) -> str:
        """Where it says how it is: one that tells no version may be a router, and some have an engine compute for /health."""
        return self.engine.health_path if self.is_engine else _MODELS

    @property
    def version(self) -> str | None:
        """The version that it tells, or those that the servers behind it do; None where nobody does."""
        told = [self._version_of(url) for url in dict.fromkeys((*self.urls, *self.behind))]
        return " and ".join(dict.fromkeys(filter(None, told))) or None

    @property
    def started_utc(self) -> str | None:
        """When the process behind it began, the last of several, as their pages of metrics tell; None where none does."""
        try:
            told = [float(value) for value in _STARTED.findall(self.metrics_text())]
            return datetime.fromtimestamp(max(told), timezone.utc).isoformat(timespec="seconds") if told else None
        except (OSError, ValueError, OverflowError):
            return None

    def check_alive(self) -> None:
        """Raise HostDiedError when the server is gone, says that its engine is dead, or does not answer in time.

        One that has no such path, as many a router, answers all the same: that is no death.
        """
        for url in self.urls:
            try:
                status = self._health_of(url, ANSWER_LIMIT_S)
            except ConnectionError as error:
                raise _died("crashed", url, f"{url}{self.health_path}: {error}") from error
            except OSError as error:
                raise _died("hung", url, f"{url}{self.health_path}: {error}") from error
            if status in _DEAD:
                raise _died("crashed", url, f"{url}{self.health_path} answered {status}")

    def health(self, timeout_s: float = ANSWER_LIMIT_S) -> int:
        """Return the status with which it says how it is, of several the worst; raise OSError when nothing comes in time."""
        return max(self._health_of(url, timeout_s) for url in self.urls)

    def names(self, source: str, model: str | None) -> list[str]:
        """Return the names of /v1/models, of several addresses those that all list, or `model` where none are listed.

        Raises IdentityError where nobody names any, we are not let in with the key from `source`, or no name is common.
        """
        found = {url: self._names_of(url, source, model) for url in self.urls}
        common = [name for name in found[self.base_url] if all(name in names for names in found.values())]
        if not common:
            said = "; ".join(f"{url} serves {named(names)}" for url, names in found.items())
            cause = Cause("wrong_model", said, "name the addresses of one service, which serves one model")
            raise IdentityError(f"the addresses have no model in common: {said}; {cause.hint}", cause)
        return common

    def _names_of(self, url: str, source: str, model: str | None) -> list[str]:
        try:
            status, text = self._models(url)
            names = [card.id for card in self._cards(url, status, text)] if status not in _LOCKED else []
        except (OSError, ValueError) as error:
            raise _not_vllm(url, error) from error
        if status in _LOCKED:
            wants = f"does not take the key {source}" if source else "wants a key"
            hint = f"set {self.key_variable or 'OPENAI_API_KEY'} to its key"
            cause = Cause("wrong_key", f"{url}/v1/models answered {status}", hint)
            raise IdentityError(f"a server is there at {url} but {wants}: {cause.hint}", cause)
        if not names and not model:
            raise _not_vllm(url, ConnectionError(f"{url}/v1/models answered {status}"))
        return names or [model]


def attach(
    base_url: str, model: str | None = None, api_key: str | None = None, reach: Reach = _USUAL_WAY
) -> AttachedServer:
    """Return the running server at `base_url`, after a look at who answers.

    `model` must be a name that it serves, or the model itself, as "tiny" or a folder; without one, its first name is
    taken. One that lists no models, as some gateways, is taken at the word of `model`. The API key of a server that
    benchbook started is read from it; that of another comes from the variable that `reach` names, else from OPENAI_API_KEY
    or VLLM_API_KEY. Raises IdentityError for anything that is not that server, ExperimentError for a way that there is not.
    """
    url = server_url(base_url)
    ours = registry.server_at(url)
    way = way_of(reach, api_key or (key_of(ours) if ours else None))
    engine = engine_named(ours.engine or VLLM.name, ours.python) if ours else VLLM
    way = replace(way, headers={**engine.headers, **way.headers})
    server = AttachedServer(ours.base_url if ours else url, "", way, is_ours=ours is not None)
    server.behind, server.also = tuple(map(server_url, reach.behind)), tuple(map(server_url, reach.also))
    server.key_variable = reach.api_key_env
    if ours:
        server.engine = engine
        server.model_path = ours.model
        server.argv, server.hub_env = list(ours.argv), hub_variables(registry.environment_of(ours))
    source = "" if api_key else key_source(reach)
    names = server.names("that was given" if api_key else f"in {source}" if source else "", model)
    server.is_engine = bool(ours) or server.tells_version
    server.served_name = _name_for(
        server, model, names, ours.served_name if ours and ours.served_name in names else names[0]
    )
    return server


def _not_vllm(url: str, error: Exception) -> IdentityError:
    cause = Cause("not_vllm", str(error), _hint_of(error))
    return IdentityError(f"no vLLM server answers at {url}: {error}; {cause.hint}", cause)


def _died(code: str, url: str, evidence: str) -> HostDiedError:
    return HostDiedError(f"the server at {url} died: {evidence}", Cause(code, evidence, "see the server's own log"))


def _hint_of(error: Exception) -> str:
    """Return what to do about a server that does not say who it is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        where = "in an experiment name it as ca_file"
        return f"set SSL_CERT_FILE to a file with its certificate (PEM) if you trust it: all clients here heed that; {where}"
    if isinstance(error, ssl.SSLError) or "handshake" in str(error):  # for whose answer a server that speaks none waits
        return "write http:// if the server speaks no TLS"
    return "start vLLM there, or leave the address out to start one here; name the model if it does not list any"


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
