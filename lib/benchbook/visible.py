"""Which of a machine's NVIDIA GPUs this environment may use."""

from __future__ import annotations

import os


def is_visible(index: int | str, uuid: str) -> bool:
    """Return whether CUDA_VISIBLE_DEVICES, where it is set, names this GPU by its number or its UUID."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named is None or not {str(index), uuid}.isdisjoint(name.strip() for name in named.split(","))
