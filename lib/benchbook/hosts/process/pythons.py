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
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from benchbook.terms.errors import ExperimentError

LEAST = (3, 11)  # with which what we bring along can be imported, and -P is known
_VERSION = re.compile(r"Python (\d+\.\d+\S*)")
_LIMIT_S = 60.0  # to start on a cold disk
_NAMED = ("vllm", "torch", "transformers", "triton")  # which an editable installation may have anywhere
_PROBE = """
import importlib, importlib.util, json, sys
def origin(name):
    spec = importlib.util.find_spec(name)
    return spec and spec.origin
told = {"prefix": sys.prefix, "tag": sys.implementation.cache_tag}
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
    told = _answer(path, "--version").partition("\n")[0]  # no other program does harm when it is asked this
    version = _VERSION.match(told)
    if version is None:
        raise ExperimentError(f"{path} is no Python: it says {told[:200]!r}")
    if tuple(map(int, version[1].split(".")[:2])) < LEAST:
        least = ".".join(map(str, LEAST))
        raise ExperimentError(f"{path} is Python {version[1]}: what benchbook needs beside vLLM takes {least} or later")
    answer = _answer(path, "-c", _PROBE % (_NAMED, brings, modules)).rpartition("\n")[2]
    try:
        facts = json.loads(answer)
        origins = tuple((name, origin) for name, origin in facts["origins"].items() if origin)
        python = Python(path, version[1], facts["prefix"], facts["tag"], tuple(facts["folders"]), origins, brings)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ExperimentError(f"{path} is no Python that can be asked: it says {answer[:200]!r}") from None
    if fault := facts.get("fault"):
        raise ExperimentError(f"what benchbook needs beside vLLM cannot be imported by {path}: {fault[:200]}")
    return HERE if (python.prefix, python.version) == (HERE.prefix, HERE.version) else python


def _answer(path: str, *words: str) -> str:
    """Return what a program says when it is called so: its output, or its error where it gives none."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    asked = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run([path, *words], env=env, cwd="/", timeout=_LIMIT_S, **asked)
    except OSError as error:
        raise ExperimentError(f"{path} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ExperimentError(f"{path} is no Python: it did not answer within {_LIMIT_S:g} s") from None
    return done.stdout.strip() or done.stderr.strip() or "nothing"
