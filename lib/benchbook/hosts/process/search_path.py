"""What of the shell's PYTHONPATH goes on to the processes that we start.

A folder that stands before the installed packages changes what is measured without a word, so it is left out. What
benchbook and vLLM themselves are imported from stays, and so does a folder that only adds modules, as cluster
environments have them.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "PYTHONPATH"
_OWN = Path(__file__).parents[3]
_OURS = {"benchbook", "vllm"}
_RUNS_AT_START = {"sitecustomize", "usercustomize"}  # in every process, before anything else
_SHOWN = 3


@dataclass(frozen=True)
class Folder:
    """A folder of PYTHONPATH."""

    path: str
    hides: tuple[str, ...]  # modules of the installation that it stands before
    is_needed: bool  # benchbook or vLLM is imported from it, by us as well

    @property
    def is_kept(self) -> bool:
        """Whether it goes on."""
        return self.is_needed or not self.hides


def kept(launch: Mapping[str, str] | None = None) -> str:
    """Return the PYTHONPATH of what we start: that of the launch first, then what of the shell's is kept."""
    folders = [folder.path for folder in _folders(os.environ.get(VARIABLE, "")) if folder.is_kept]
    return os.pathsep.join(filter(None, [(launch or {}).get(VARIABLE, ""), *folders]))


def foreign() -> str:
    """Return what is kept beside benchbook's own folder: it may have changed what was measured."""
    return os.pathsep.join(path for path in kept().split(os.pathsep) if path and Path(path).resolve() != _OWN)


def left_out() -> str:
    """Return which folders are left out and what they stand before, for a sentence; '' where there are none."""
    folders = [folder for folder in _folders(os.environ.get(VARIABLE, "")) if not folder.is_kept]
    return "; ".join(f"{folder.path} stands before {_listed(folder.hides)}" for folder in folders)


@functools.cache
def _folders(value: str) -> tuple[Folder, ...]:
    paths = [path for path in value.split(os.pathsep) if path and os.path.isdir(path)]
    rest = [path for path in sys.path if path and os.path.abspath(path) not in map(os.path.abspath, paths)]
    return tuple(Folder(path, tuple(_hidden(path, rest)), not _OURS.isdisjoint(_modules(path))) for path in paths)


def _hidden(path: str, rest: list[str]) -> Iterator[str]:
    """Yield the modules in the folder `path` that the other folders, or Python itself, have as well."""
    for name in sorted(_modules(path)):
        if name in _RUNS_AT_START or name in sys.stdlib_module_names:
            yield name
        elif importlib.machinery.PathFinder.find_spec(name, rest) is not None:
            yield name


def _modules(path: str) -> set[str]:
    """Return the names of the modules that a folder holds."""
    try:
        entries = list(os.scandir(path))
    except OSError:
        return set()
    names = {entry.name.partition(".")[0] for entry in entries if entry.name.endswith((".py", ".so"))}
    packages = {entry.name for entry in entries if os.path.isfile(os.path.join(entry.path, "__init__.py"))}
    return {name for name in names | packages if name.isidentifier() and name != "__init__"}


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
