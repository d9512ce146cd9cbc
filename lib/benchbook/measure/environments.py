"""What a record keeps of the environment that a launch's `python` names, where it is another than benchbook's."""

from __future__ import annotations

from typing import Any

from benchbook.hosts.process.pythons import Python
from benchbook.records.packages import ENGINE_PACKAGES


def packages_of(python: Python) -> dict[str, str]:
    """Return {distribution: version} of what an engine stands on in an environment; absent ones are left out."""
    return {name: version for name in ENGINE_PACKAGES if (version := python.version_of(name))}


def environment_facts(python: Python | None) -> dict[str, Any]:
    """Return the fields of HostFacts that tell of an environment; {} of benchbook's own."""
    return {"python": python.path, "packages": packages_of(python)} if python and not python.is_here else {}
