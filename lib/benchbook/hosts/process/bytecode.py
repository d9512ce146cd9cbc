"""Where Python keeps what it has compiled of vLLM and torch: without it each start compiles them again, for 20 s."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchbook.hosts.process.caches import cache_dir
from benchbook.terms.errors import ExperimentError

OFF, PREFIX = "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"
_PACKAGES = ("vllm", "torch")


def kept_elsewhere(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variable by which bytecode is kept in benchbook's cache, where it cannot be kept beside the packages.

    {} where it can, where `env` says a place itself, and where no cache can be had.
    """
    if env.get(PREFIX) or not unkept():
        return {}
    try:
        return {PREFIX: str(cache_dir() / "bytecode")}
    except ExperimentError:
        return {}


@functools.cache
def unkept() -> tuple[str, ...]:
    """Return which of the packages have no bytecode beside them, and no room for it."""
    return tuple(name for name in _PACKAGES if (folder := _folder_of(name)) and not _keeps(folder))


def _folder_of(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _keeps(folder: Path) -> bool:
    there = folder / "__pycache__" / f"__init__.{sys.implementation.cache_tag}.pyc"
    return there.exists() or os.access(folder, os.W_OK)
