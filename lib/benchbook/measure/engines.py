"""The engine a notebook measures offline: a sweep's, or its own, tied to the kernel. Both stay loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from benchbook import parameters
from benchbook.hosts.engine import VllmEngine
from benchbook.measure import own
from benchbook.measure.servers import note_opened
from benchbook.plan.named_launches import named_launch
from benchbook.records.handover import Handover, read_handover


@dataclass(frozen=True, kw_only=True, eq=False)
class OfflineEngine:
    """What offline benchmarks run on: the engine's configuration, and where a loaded one takes tasks."""

    model: str = "tiny"
    args: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = ""  # the interpreter whose vLLM it is; '' for benchbook's own
    socket_path: str = field(
        default="", repr=False
    )  # '': each benchmark loads an engine of its own, by the command line
    peaks: Mapping[str, Any] | None = field(default=None, repr=False)  # of the device before it was loaded


_own: WeakKeyDictionary[VllmEngine, OfflineEngine] = WeakKeyDictionary()  # what it was warmed up for is known by this


def open_engine(
    model: str = "",
    *,
    launch: str = "tiny-cpu",
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    python: str = "",
    repeat: Handover | str = "",
) -> OfflineEngine:
    """Return the engine of `repeat`, or, by hand, a loaded one of this kernel's own, loaded if need be.

    It has the named `launch`, with another `model`, `args` and `env` on top of it, and the vLLM of the interpreter at
    `python`. Raises HostStartError, and
    ExperimentError for a parameter that there is not.
    """
    parameters.refuse_unknown()
    given = read_handover(repeat).engine
    if given:
        return OfflineEngine(**dict(given))
    chosen = named_launch(launch, model, args, env, python)
    loaded = own.own_host(VllmEngine, chosen)
    if loaded not in _own:
        _own[loaded] = OfflineEngine(
            model=chosen.model.path_or_id,
            args=chosen.args,
            env=chosen.env,
            python=chosen.python,
            socket_path=loaded.socket_path,
            peaks=own.own_peaks(loaded),
        )
    note_opened(_own[loaded])
    return _own[loaded]
