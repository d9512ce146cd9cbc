"""The engines that a launch can name."""

from __future__ import annotations

import importlib

from benchbook.hosts.face import Engine
from benchbook.hosts.process.pythons import is_ours
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.wing import VLLM, vllm_in
from benchbook.terms.engines import other_engines
from benchbook.terms.errors import ExperimentError

__all__ = ["VLLM", "engine_named"]


def engine_named(name: str, python: str = "") -> Engine:
    """Return the face of the engine `name`, as it is installed for the interpreter at `python`, our own where that is ''.

    Raises ExperimentError where it is not installed there, or cannot be loaded.
    """
    if name == VLLM.name:
        return VLLM if is_ours(python) else vllm_in(vllm_python(python))
    if not is_ours(python):
        raise ExperimentError(f"the engine {name!r} runs in benchbook's own environment: leave python out")
    if (place := other_engines().get(name)) is None:
        raise ExperimentError(f"the engine {name!r} is not installed here")
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a stranger's module may raise whatever it likes
        raise ExperimentError(f"the engine {name!r} cannot be loaded: {place}: {error!r:.300}") from error
    if not isinstance(found, Engine):
        raise ExperimentError(f"the engine {name!r} cannot be loaded: {place} is no Engine of benchbook.hosts.face")
    return found
