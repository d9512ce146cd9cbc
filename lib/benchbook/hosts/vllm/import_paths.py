"""Classes that args name by their import paths: is there such a module, and does its source name the class? Nothing is imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.said import Said

_ARGS = ("scheduler_cls", "worker_cls", "worker_extension_cls", "distributed_executor_backend", "middleware")
_WITH_COLON = "logits_processors"  # module:Class
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_WORDS = ("auto", "ray", "mp", "uni", "external_launcher")  # which vLLM itself has for some of them
# What a value needs that vLLM does not bring: by the way to it, the value and the package to import.
_PACKAGES = (
    ("distributed_executor_backend", "ray", "ray"),
    ("data_parallel_backend", "ray", "ray"),
    ("load_format", "tensorizer", "tensorizer"),
    ("load_format", "runai_streamer", "runai_model_streamer"),
    ("load_format", "runai_streamer_sharded", "runai_model_streamer"),
    ("load_format", "fastsafetensors", "fastsafetensors"),
    ("load_format", "instanttensor", "instanttensor"),
    ("kv_offloading_backend", "lmcache", "lmcache"),
    ("kv_transfer_config.kv_connector", "LMCacheConnectorV1", "lmcache"),
    ("kv_transfer_config.kv_connector", "LMCacheMPConnector", "lmcache"),
    ("speculative_config.method", "suffix", "arctic_inference"),
    ("spec_method", "suffix", "arctic_inference"),
)


def absent_classes(
    args: Mapping[str, Any], env: Mapping[str, str], python: Python = HERE
) -> Iterator[tuple[str, str, bool]]:
    """Yield each arg that names a class which is not there, why, and whether another machine may have it, by its packages.

    `env` is the whole environment of the process.
    """
    places = [*filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *python.search_path]
    for name in (*_ARGS, _WITH_COLON):
        said = args.get(name)
        for path in said if isinstance(said, list) else [said]:
            if (
                isinstance(path, str)
                and path not in _WORDS
                and (path or name == "middleware")
                and (why := _why_absent(path, name == _WITH_COLON, places))
            ):
                yield name, why, "no module" in why and not path.startswith("vllm.")


def absent_packages(args: Mapping[str, Any], python: Python = HERE) -> Iterator[tuple[str, str]]:
    """Yield each arg, or way to an option, whose value needs a package that is not installed here, and which."""
    said = Said(args, {})
    for name, value, package in _PACKAGES:
        if str(said[name]).lower() == value.lower() and PathFinder.find_spec(package, list(python.search_path)) is None:
            yield name, f"needs the package {package}, which is not installed here"


def _why_absent(path: str, has_colon: bool, places: list[str]) -> str:
    module, separator, name = path.rpartition(":" if has_colon else ".")
    if not separator or not _PATH.fullmatch(module) or not _PATH.fullmatch(name):
        return f"{path or repr(path)} is no import path of a class: write {'a.module:Class' if has_colon else 'a.module.Class'}"
    files = _files_of(module, places)
    if files is None:
        return f"there is no module {module}, of which it is to be imported"
    if any(re.search(rf"\b{name}\b", file.read_text(errors="replace")) for file in files) or not files:
        return ""
    return f"the module {module} has no {name}"


def _files_of(module: str, places: list[str]) -> list[Path] | None:
    """Return the source of a module, [] where there is none to read; None where there is no such module."""
    top, *inner = module.split(".")
    spec = PathFinder.find_spec(top, places)
    if spec is None:
        return [] if top in sys.builtin_module_names else None
    if not inner:
        return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []
    for folder in spec.submodule_search_locations or ():
        there = Path(folder, *inner)
        found = [path for path in (there.with_suffix(".py"), there / "__init__.py") if path.is_file()]
        if found or there.is_dir() or any(there.parent.glob(f"{there.name}.*")):
            return found
    return None
