"""The server a notebook measures: attached by its address, or its own, tied to the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchbook.errors import Cause, HostDiedError
from benchbook.hosts.models import has_random_weights
from benchbook.hosts.served import AttachedServer, attach
from benchbook.hosts.server import VllmServer
from benchbook.measure.hardware import model_config, peaks_before_start, peaks_of_attached

AnyServer = VllmServer | AttachedServer

_own: dict[str, VllmServer] = {}  # the servers this kernel started, by configuration: running a cell twice starts one
_own_peaks: dict[str, dict[str, Any]] = {}  # of the device before they started, by the server's nonce


def open_server(
    base_url: str = "",
    model: str = "tiny",
    *,
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
) -> AnyServer:
    """Return the server at `base_url`, or, when that is empty, a ready one of this kernel's own, started if need be.

    An own server ends with its kernel, whatever ends that. Raises HostStartError or IdentityError.
    """
    if base_url:
        return attach(base_url, model)
    configuration = repr((model, sorted((args or {}).items()), sorted((env or {}).items())))
    server = _own.get(configuration)
    if server is None or not server.is_alive():
        close_servers()  # one device holds one server
        server = VllmServer(model, args=args, env=env)
        _own_peaks[server.served_name] = peaks_before_start(server.model_files.path, server.env_overrides)
        server.start()
        server.wait_ready()
        _own[configuration] = server
    return server


def close_servers() -> None:
    """Stop the servers this kernel started."""
    while _own:
        _own.popitem()[1].stop()


@contextmanager
def silence_is_death(server: AnyServer) -> Iterator[None]:
    """Inside, a question that `server` leaves unanswered is a HostDiedError with its cause, not a bare OSError."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        server.check_alive()
        evidence = f"{server.base_url}: {error}"
        raise HostDiedError(
            f"the server left a question unanswered: {evidence}",
            Cause("hung", evidence, "see the end of the server's log"),
        ) from error


def model_card(server: AnyServer) -> dict[str, Any]:
    """Return what /v1/models says of the model under test: `name` (its first served name), `root` (files), `max_model_len`."""
    cards = server.served_models()
    card = next(card for card in cards if card["id"] == server.served_name)
    return {
        "name": cards[0]["id"],
        "root": card.get("root") or cards[0]["id"],
        "max_model_len": card.get("max_model_len"),
    }


def host_facts(server: AnyServer) -> dict[str, Any]:
    """Return what a record keeps of a server; argv and environment are known only of one we started."""
    card = model_card(server)
    facts: dict[str, Any] = {
        "kind": "server",
        "model": card["name"],
        "version": server.version,
        "max_model_len": card["max_model_len"],
        "random_weights": has_random_weights(card["root"]),
        "model_config": model_config(card["root"]),
        "peaks": _own_peaks.get(server.served_name) or peaks_of_attached(server.base_url),
    }
    if isinstance(server, VllmServer):
        facts |= {
            "model": server.model_files.name,
            "argv": list(server.argv),
            "env": dict(server.env_overrides),
            "ready_s": server.ready_s,
        }
    return facts
