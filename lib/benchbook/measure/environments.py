"""What a record keeps of the environment that a launch's `python` names, where it is another than benchbook's."""

from __future__ import annotations

from typing import Any

from benchbook.hosts.vllm.environments import vllm_python
from benchbook.records.provenance import ENGINE_PACKAGES


def packages_there(path: str) -> dict[str, str]:
    """Return {distribution: version} of what an engine stands on in the environment of the interpreter at `path`."""
    python = vllm_python(path)
    return {name: version for name in ENGINE_PACKAGES if (version := python.version_of(name))}


def environment_facts(path: str) -> dict[str, Any]:
    """Return the fields of HostFacts that tell of the environment at `path`; {} of benchbook's own."""
    there = vllm_python(path).shown
    return {"python": there, "packages": packages_there(path)} if there else {}
