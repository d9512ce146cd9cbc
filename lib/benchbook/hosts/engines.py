"""The engines that a launch can name."""

from __future__ import annotations

import importlib

from benchbook.hosts.face import Engine
from benchbook.hosts.vllm.wing import VLLM
from benchbook.terms.engines import other_engines

__all__ = ["VLLM", "engine_named"]


def engine_named(name: str) -> Engine:
    """Return the face of the engine that a launch calls `name`; KeyError for one that was not checked to be there."""
    if name == VLLM.name:
        return VLLM
    module, _, attribute = other_engines()[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
