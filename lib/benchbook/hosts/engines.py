"""The engines that a launch can name."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from benchbook.hosts.face import Engine
from benchbook.hosts.others.command import commanded
from benchbook.hosts.process.pythons import HERE, is_ours, python_at
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.wing import VLLM, vllm_in
from benchbook.terms.engines import other_engines
from benchbook.terms.errors import ExperimentError

__all__ = ["VLLM", "engine_named", "engine_of", "unvouched", "why_not_here"]


class Startable(Protocol):
    """What a launch says of the engine that it starts."""

    engine: str
    python: str
    program: Sequence[str]
    command: Sequence[str]


def engine_of(launch: Startable) -> Engine:
    """Return the face of a launch's engine, started by the program or the whole command that the launch names.

    Raises ExperimentError where it cannot be had, or the command cannot be filled in.
    """
    engine = engine_named(launch.engine, launch.python)
    if launch.command:
        return commanded(engine, launch.command)
    return replace(engine, program=tuple(launch.program)) if launch.program else engine


def engine_named(name: str, python: str = "") -> Engine:
    """Return the face of the engine `name`, as it is installed for the interpreter at `python`, our own where that is ''.

    Raises ExperimentError where it is not installed there, or cannot be loaded.
    """
    if name == VLLM.name:
        return VLLM if is_ours(python) else vllm_in(vllm_python(python))
    if (place := other_engines().get(name)) is None:
        raise ExperimentError(f"the engine {name!r} is not installed here")
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a stranger's module may raise whatever it likes
        raise ExperimentError(f"the engine {name!r} cannot be loaded: {place}: {error!r:.300}") from error
    if not isinstance(found, Engine):
        raise ExperimentError(f"the engine {name!r} cannot be loaded: {place} is no Engine of benchbook.hosts.face")
    return found if is_ours(python) else _by_python(found, python)


def _by_python(engine: Engine, python: str) -> Engine:
    """Return `engine` as the interpreter at `python` runs it; raise ExperimentError for one that is no Python program."""
    if not engine.needs:
        raise ExperimentError(f"{engine.title} is started without a Python: name its program by program, not python")
    return replace(engine, python=python_at(python, "", ()), program=(python, *engine.program[1:]))


def unvouched(engine: Engine) -> Iterator[tuple[str, str]]:
    """Yield what a server of `engine` cannot prove as vLLM's does: the name of it, and why."""
    if engine.unproven:
        yield "face", f"not run here: the face of {engine.title} is {engine.unproven}"
    if not engine.access.has_key:
        yield "key", f"{engine.title} asks nobody for a key: {engine.access.why_open}"
    if not engine.takes_name:
        how = "by its container alone" if engine.container else "by who holds its port"
        yield "identity", f"it is known {how}, since it takes no name of ours"


def why_not_here(engine: Engine) -> Iterator[str]:
    """Yield why an engine beside vLLM cannot be started here: its program, or a module that its Python lacks."""
    program = engine.program[0] if engine.program else ""
    if program and shutil.which(program) is None:
        yield f"there is no program {program!r}: install it, or name where it lies by program"
        return
    python = engine.python or HERE
    if engine.needs and program in (HERE.path, python.path):
        absent = [module for module in engine.needs if not python.has_module(module)]
        if absent:
            whose = python.shown or "benchbook's own Python"
            has = f"{whose} does not have {' and '.join(absent)}"
            yield f"{engine.title} cannot be started: {has}: install it there, or name another Python by python"
