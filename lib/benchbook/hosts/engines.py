"""The engines that a launch can name."""

from __future__ import annotations

import importlib

from benchbook.hosts.face import Engine
from benchbook.hosts.vllm.wing import VLLM
from benchbook.terms.engines import other_engines
from benchbook.terms.errors import ExperimentError

__all__ = ["VLLM", "engine_named"]


def engine_named(name: str) -> Engine:
    """Return the face of the engine `name`; raise ExperimentError where it is not installed here, or cannot be loaded."""
    if name == VLLM.name:
        return VLLM
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
