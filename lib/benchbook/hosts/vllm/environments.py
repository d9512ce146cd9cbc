"""Environments that a launch's `python` names: each with a vLLM of its own, and benchbook's part in it brought along.

What of ours runs inside of vLLM needs nothing but vLLM's own packages: the door, the load format, the program behind a
loaded engine. It comes by a folder that holds benchbook and the name of its plugin, and nothing else of our environment.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from contextlib import suppress
from pathlib import Path

import benchbook
from benchbook.hosts.process.caches import built
from benchbook.hosts.process.pythons import HERE, Python, is_ours, python_at
from benchbook.terms.errors import ExperimentError

# Imported there at once, so that what cannot be is told before anything starts.
_MODULES = ("benchbook.hosts.vllm.door", "benchbook.hosts.vllm.random_loader", "benchbook.hosts.vllm.engine_worker")
_PLUGINS = "[vllm.general_plugins]\nbenchbook = benchbook.hosts.vllm.random_loader:register\n"


def vllm_python(path: str) -> Python:
    """Return the environment of the interpreter at `path`, our own for ''.

    Raises ExperimentError, in one line, for what is no Python, has no vLLM, or cannot have what we bring along.
    """
    if is_ours(path):
        return HERE
    python = python_at(path, str(brought_along()), _MODULES)
    if python.folder_of("vllm") is None or python.version_of("vllm") is None:
        raise ExperimentError(f"{path} has no vLLM: nothing of that name is installed in {python.prefix}")
    return python


def brought_along() -> Path:
    """Return the folder of what we bring to other environments, made on demand."""
    package = Path(benchbook.__file__).parent
    version = "0"
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("benchbook")
    told = {"METADATA": f"Metadata-Version: 2.1\nName: benchbook\nVersion: {version}\n", "entry_points.txt": _PLUGINS}
    name = hashlib.sha256(f"{package} {told}".encode()).hexdigest()[:12]

    def build(folder: Path) -> None:
        (folder / "benchbook").symlink_to(package, target_is_directory=True)
        (folder / f"benchbook-{version}.dist-info").mkdir()
        for file, text in told.items():
            (folder / f"benchbook-{version}.dist-info" / file).write_text(text)

    return built(f"brought-{name}", build)
