"""What this kernel started for itself: one server or engine, since a device holds one, and a client for benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.engines import engine_of
from benchbook.hosts.process.shell import certificates
from benchbook.hosts.server import VllmServer
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.hardware import peaks_before_start
from benchbook.measure.launch_by_hand import checked_by_hand
from benchbook.measure.live import starting
from benchbook.plan.launches import Launch

_hosts: dict[str, VllmServer | VllmEngine] = {}  # by configuration; one at most
_clients: list[WarmClient] = []  # one at most
_peaks: dict[int, Mapping[str, Any]] = {}  # of the device before a host started, by the host's id()


def own_host(kind: type[VllmServer | VllmEngine], launch: Launch, keep: bool = False) -> Any:
    """Return this kernel's ready `kind` of `launch`; one that is there is taken, another one is ended first.

    It ends with the kernel, whatever ends that, unless it is a server to `keep`. Raises HostStartError, and ExperimentError
    for a flag or variable that the installed vLLM does not know.
    """
    launch, notes = checked_by_hand(launch, has_offline=kind is VllmEngine)
    configuration = repr(
        (kind, keep, launch.model, launch.python, sorted(launch.args.items()), sorted(launch.env.items()))
    )
    host = _hosts.get(configuration)
    if host is None or not host.is_alive():
        _end_host()
        for note in notes:
            print(note)
        what = f"vLLM {'server' if kind is VllmServer else 'engine'} with {launch.model_text}"
        options: dict[str, Any] = {"python": launch.python}
        if kind is VllmServer:
            options = {"keep": keep, "engine": engine_of(launch)}
        with starting(what) as told:
            host = kind(launch.model.path_or_id, args=launch.args, env=launch.env, on_progress=told, **options)
            _peaks[id(host)] = peaks_before_start(host.model_files.path, host.env_overrides)
            try:
                host.start()
                host.wait_ready()
            except BaseException:
                host.stop()
                raise
        _hosts[configuration] = host
    return host


def own_peaks(host: object) -> Mapping[str, Any] | None:
    """Return the device's peaks before `host` started; None where it is not this kernel's."""
    return _peaks.get(id(host))


def own_client(*, start: bool = False) -> WarmClient | None:
    """Return this kernel's benchmark client, None without one; `start` makes one, which imports vLLM meanwhile."""
    trusted = certificates()
    while start and _clients and _clients[0].trusted != trusted:  # which it has read when it imported aiohttp
        _clients.pop().stop()
    if start and not _clients:
        _clients.append(WarmClient(env=trusted))
    if not _clients:
        return None
    _clients[0].ensure()
    return _clients[0]


def close() -> None:
    """End what this kernel started; a kept server lives on."""
    _end_host()
    while _clients:
        _clients.pop().stop()


def _end_host() -> None:
    while _hosts:
        host = _hosts.popitem()[1]
        _peaks.pop(id(host), None)
        if not getattr(host, "keep", False):
            host.stop()
