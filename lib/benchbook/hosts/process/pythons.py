"""A Python environment as a value: its interpreter, and what that can import. `HERE` is the one of this process.

Another one is asked once, by running it; what is installed there is then read from its folders, and nothing imported.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from benchbook.terms.errors import ExperimentError

LEAST = (3, 11)  # with which what we bring along can be imported, and -P is known
_LIMIT_S = 60.0  # to start on a cold disk
_NAMED = ("vllm", "torch", "transformers", "triton")  # which an editable installation may have anywhere
_PROBE = """
import importlib, importlib.util, json, sys
def origin(name):
    spec = importlib.util.find_spec(name)
    return spec and spec.origin
told = {"version": list(sys.version_info[:3]), "prefix": sys.prefix, "tag": sys.implementation.cache_tag}
told["folders"] = [folder for folder in sys.path if folder]
told["origins"] = {name: origin(name) for name in %r}
sys.path.insert(0, %r)
try:
    for name in %r:
        importlib.import_module(name)
except Exception as error:
    told["fault"] = repr(error)
print("\\n" + json.dumps(told))
"""


@dataclass(frozen=True)
class Python:
    """One environment: an interpreter, and the folders in which it looks for modules."""

    path: str  # of the interpreter, as it was named: by a link into it a virtual environment is known
    version: str  # '3.11.7'
    prefix: str
    tag: str  # of its bytecode: 'cpython-311'
    folders: tuple[str, ...] = ()
    origins: tuple[tuple[str, str], ...] = ()  # where some packages are that no folder may tell of
    brings: str = ""  # a folder of ours, in which what is started there looks first

    @property
    def is_here(self) -> bool:
        """Whether it is the environment of this process."""
        return self == HERE

    @property
    def shown(self) -> str:
        """Its path for a sentence; '' of this process's own."""
        return "" if self.is_here else self.path

    def version_of(self, distribution: str) -> str | None:
        """Return the version of a package that is installed there; None where it is not."""
        try:
            if self.is_here:
                return importlib.metadata.version(distribution)
            found = importlib.metadata.Distribution.discover(name=distribution, path=list(self.folders))
            return next((each.version for each in found), None)
        except importlib.metadata.PackageNotFoundError:
            return None

    def folder_of(self, package: str) -> Path | None:
        """Return the folder of a package's source there; None where there is none."""
        if self.is_here:
            spec = importlib.util.find_spec(package)
            origin = spec and spec.origin
        else:
            origin = dict(self.origins).get(package) or self._origin(package)
        return Path(origin).parent if origin else None

    def has_module(self, name: str) -> bool:
        """Return whether a module, or a package without a source of its own, can be imported there."""
        if self.is_here:
            return importlib.util.find_spec(name) is not None
        return name in dict(self.origins) or PathFinder.find_spec(name, list(self.folders)) is not None

    def plugins(self, group: str) -> Iterator[importlib.metadata.EntryPoint]:
        """Yield the entry points of a group that packages there have, ours among them where they are brought along."""
        if self.is_here:
            return iter(importlib.metadata.entry_points(group=group))
        places = [*filter(None, [self.brings]), *self.folders]
        found = importlib.metadata.Distribution.discover(path=places)
        return (point for each in found for point in each.entry_points.select(group=group))

    @property
    def search_path(self) -> tuple[str, ...]:
        """Return the folders in which it looks for modules."""
        return tuple(sys.path) if self.is_here else self.folders

    def _origin(self, package: str) -> str | None:
        spec = PathFinder.find_spec(package, list(self.folders))
        return spec and spec.origin


HERE = Python(sys.executable, platform.python_version(), sys.prefix, sys.implementation.cache_tag)


def is_ours(path: str) -> bool:
    """Return whether the interpreter at `path` is that of this process, which '' stands for as well."""
    return not path or os.path.abspath(path) == os.path.abspath(sys.executable)


@functools.cache
def python_at(path: str, brings: str, modules: tuple[str, ...]) -> Python:
    """Return the environment of the interpreter at `path`, HERE where that is ours.

    `brings` is a folder of ours for what is started there, of which it must be able to import `modules`. Raises
    ExperimentError, in one line, for what is no Python, one too old, and one that cannot import them.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [path, "-c", _PROBE % (_NAMED, brings, modules)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT_S,
        )
    except OSError as error:
        raise ExperimentError(f"{path} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ExperimentError(f"{path} is no Python: it did not answer within {_LIMIT_S:g} s") from None
    try:
        told = json.loads(done.stdout.strip().rpartition("\n")[2])
        version = tuple(told["version"])
        python = Python(
            path,
            ".".join(map(str, version)),
            told["prefix"],
            told["tag"],
            tuple(told["folders"]),
            tuple((name, origin) for name, origin in told["origins"].items() if origin),
            brings,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ExperimentError(f"{path} is no Python: {_last_line(done.stderr or done.stdout)}") from None
    if version[:2] < LEAST:
        least = ".".join(map(str, LEAST))
        raise ExperimentError(
            f"{path} is Python {python.version}: what benchbook needs beside vLLM takes {least} or later"
        )
    if fault := told.get("fault"):
        raise ExperimentError(f"what benchbook needs beside vLLM cannot be imported by {path}: {fault[:200]}")
    return HERE if (python.prefix, python.version) == (HERE.prefix, HERE.version) else python


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return f"it says {lines[-1].strip()[:200]!r}" if lines else "it says nothing"
