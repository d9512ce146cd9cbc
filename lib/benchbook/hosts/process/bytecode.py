"""Where Python keeps what it has compiled of vLLM and torch: without it each start compiles them again, for 20 s."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from benchbook.hosts.process.caches import cache_dir
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.terms.errors import ExperimentError

OFF, PREFIX = "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"
_PACKAGES = ("vllm", "torch")


def kept_elsewhere(env: Mapping[str, str], python: Python = HERE) -> dict[str, str]:
    """Return the variable by which bytecode is kept in benchbook's cache, where it cannot be kept beside `python`'s packages.

    {} where it can, where `env` says a place itself, and where no cache can be had.
    """
    if env.get(PREFIX) or not unkept(python):
        return {}
    try:
        return {PREFIX: str(cache_dir() / "bytecode")}
    except ExperimentError:
        return {}


@functools.cache
def unkept(python: Python = HERE) -> tuple[str, ...]:
    """Return which of the packages have no bytecode beside them, and no room for it."""
    found = ((name, python.folder_of(name)) for name in _PACKAGES)
    return tuple(name for name, folder in found if folder and not _keeps(folder, python.tag))


def _keeps(folder: Path, tag: str) -> bool:
    there = folder / "__pycache__" / f"__init__.{tag}.pyc"
    return there.exists() or os.access(folder, os.W_OK)
