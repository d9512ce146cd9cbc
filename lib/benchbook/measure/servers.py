"""The server a notebook measures: attached by its address, or its own, tied to the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from benchbook import parameters
from benchbook.hosts.attached import AttachedServer, attach
from benchbook.hosts.cards import named
from benchbook.hosts.engines import VLLM, unvouched
from benchbook.hosts.model.files import commit_of, has_random_weights
from benchbook.hosts.process.ports import is_loopback
from benchbook.hosts.process.shell import certificates, go_past_proxies
from benchbook.hosts.server import VllmServer
from benchbook.hosts.vllm.tokenizers import args_of
from benchbook.hosts.way import way_of
from benchbook.measure import own
from benchbook.measure.environments import environment_facts
from benchbook.measure.hardware import model_config, peaks_of_attached
from benchbook.plan.attached import reach_of
from benchbook.plan.named_launches import named_launch
from benchbook.records.host import AttachedFacts, HostFacts
from benchbook.terms.errors import Cause, ExperimentError, HostDiedError, IdentityError

AnyServer = VllmServer | AttachedServer

_PARAMETERS = ("base_url", "launch", "model", "engine_args", "engine_env", "engine_python", "keep", "reach")
_opened: WeakKeyDictionary[object, Mapping[str, Any]] = WeakKeyDictionary()  # the parameters when a host was opened
_warmed: WeakKeyDictionary[object, dict[str, str]] = WeakKeyDictionary()  # by hand: for what, by what


def open_server(
    base_url: str = "",
    model: str = "",
    *,
    launch: str = "tiny-cpu",
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    python: str = "",
    keep: bool = False,
    reach: Mapping[str, Any] | None = None,
    with_client: bool = False,
) -> AnyServer:
    """Return the server at `base_url`, or, when that is empty, a ready one of this kernel's own, started if need be.

    An own server has the named `launch`, with another `model`, `args` and `env` on top of it, and the vLLM of the
    interpreter at `python`; it ends with its kernel, whatever ends that, unless it is to `keep`: then `benchbook stop`
    ends it. `reach` says how the one at `base_url` is reached, by the keys of a launch that is attached. `with_client` has
    the benchmark's client import vLLM meanwhile. Raises HostStartError, IdentityError, and ExperimentError for a parameter
    that there is not.
    """
    parameters.refuse_unknown()
    ours_alone = {"engine_args": args, "engine_env": env, "engine_python": python, "keep": keep}
    if base_url and any(ours_alone.values()):
        what = " and ".join(name for name, value in ours_alone.items() if value)
        raise ExperimentError(f"{what} are for a server started here; the one at {base_url} runs as it was started")
    if reach and not base_url:
        raise ExperimentError("reach says how a server that runs already is reached, and base_url names none")
    how = reach_of(reach or {})
    os.environ.update({**certificates(), **way_of(how).trusted})
    if with_client:
        own.own_client(start=True)
    server = (
        attach(base_url, model, reach=how)
        if base_url
        else own.own_host(VllmServer, named_launch(launch, model, args, env, python), keep)
    )
    go_past_proxies([] if how.proxy else server.hostnames)
    note_opened(server)
    return server


def close_servers() -> None:
    """End what this kernel started: server or engine, and benchmark client."""
    own.close()


def note_opened(host: object) -> None:
    """Remember the notebook's parameters as those that `host` was opened with."""
    shown = parameters.shown()
    _opened[host] = {name: shown[name] for name in _PARAMETERS if name in shown}


def refuse_stale(host: object, name: str) -> None:
    """Raise ExperimentError when the notebook's `name` is `host`, and was opened with other parameters than now."""
    parameters.refuse_stale(name, host, _opened.get(host, {}))


def warmed_by_hand(host: object) -> dict[str, str]:
    """Return which loads this kernel has warmed `host` up for, each with the measurement that did."""
    return _warmed.setdefault(host, {})


@contextmanager
def silence_is_death(server: AnyServer) -> Iterator[None]:
    """Inside, a question that `server` leaves unanswered is a HostDiedError with its cause, not a bare OSError."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        server.check_alive()
        evidence = f"{server.base_url}: {error}"
        code, what = ("hung", "left a question unanswered") if _is_silence(error) else ("odd_answer", "answered oddly")
        raise HostDiedError(
            f"the server {what}: {evidence}", Cause(code, evidence, "see the end of the server's log")
        ) from error


def _is_silence(error: OSError) -> bool:
    return isinstance(error, TimeoutError | ConnectionRefusedError | ConnectionResetError)


@dataclass(frozen=True)
class UnderTest:
    """The model under test, as its server tells: its own name, where its files lie there, and the adapter on it."""

    name: str
    root: str
    adapter: str | None = None
    max_model_len: int | None = None


def model_card(server: AnyServer) -> UnderTest:
    """Return what /v1/models says of the model under test; of an adapter, the files are those of its own model.

    Raises IdentityError when it is not served any more.
    """
    cards = server.served_models()
    if not cards:
        return UnderTest(server.served_name, server.model_path or server.served_name)
    card = next((card for card in cards if card.id == server.served_name), None)
    if card is None:
        names = named([card.id for card in cards])
        cause = Cause("wrong_model", f"served names: {names}", "see who changed the server")
        raise IdentityError(f"{server.base_url} no longer serves {server.served_name!r} but {names}", cause)
    if card.parent and card.parent != card.id:
        own = next((other for other in cards if other.id == card.parent), None)
        root = (own.root if own else None) or card.parent
        return UnderTest(card.parent, root, card.id, card.max_model_len)
    name = cards[0].id if server.is_ours else card.id  # ours is known by a name that only its launch has
    return UnderTest(name, server.model_path or card.root or name, None, card.max_model_len)


def host_facts(server: AnyServer, model: UnderTest | None = None) -> HostFacts:
    """Return what a record keeps of a server: its argv where it is ours, its environment where we started it here.

    `model` is what its `model_card` said, where that was asked already.
    """
    model = model or model_card(server)
    facts: dict[str, Any] = {
        "kind": "server",
        "attached": attached_facts(server),
        "model": model.name,
        "engine": server.engine.title,
        "adapter": model.adapter,
        "version": server.version,
        "argv": server.argv and tuple(server.argv),
        "max_model_len": model.max_model_len,
        **_facts_of_files(model.root, args_of(server.argv).get("revision"), server.hub_env),
        "peaks": own.own_peaks(server) or peaks_of_attached(server.base_url),
    }
    if isinstance(server, VllmServer):
        routing = server.engine.known_routing(server.model_files, server.args)
        facts |= {
            "model": server.model_files.name,
            "model_commit": commit_of(server.model_files, server.args, server.hub_env),
            "random_weights": server.model_files.random_weights,
            "routing": routing or None,
            **environment_facts(server.engine.python),
            "untold": untold_of(server),
            "env": dict(server.env_overrides),
            "unknown_variables": server.engine.unknown_variables(server.env_overrides),
            "ready_s": server.ready_s,
        }
    return HostFacts.of(**facts)


def untold_of(server: VllmServer) -> dict[str, str]:
    """Return what a server of ours leaves unknown that vLLM's tells or takes, each with why."""
    found = dict(unvouched(server.engine))
    if server.engine.name != VLLM.name:
        found["settings"] = f"which args {server.engine.title} has is not known here: they went to it as they stood"
    if server.version is None:
        found["version"] = f"{server.engine.version_path} tells none"
    return found


def attached_facts(server: AnyServer) -> AttachedFacts | None:
    """Return how a server of somebody else was reached; None for one that benchbook started."""
    if server.is_ours:
        return None
    return AttachedFacts(
        address=server.base_url,
        also=tuple(server.also),
        is_elsewhere=not all(map(is_loopback, server.hostnames)),
        headers=tuple(server.way.headers),
        behind=tuple(server.behind),
        asked_by_proxy=server.way.proxy,
        unproven=server.way.is_insecure,
    )


def _facts_of_files(root: str, revision: str | None, env: Mapping[str, str]) -> dict[str, Any]:
    """Return what the model's files tell, as far as they are on this machine: a server elsewhere has its own paths."""
    try:
        return {"random_weights": has_random_weights(root), "config": model_config(root, revision, env)}
    except (OSError, ValueError):  # no file of this machine can have that name
        return {"random_weights": False}
