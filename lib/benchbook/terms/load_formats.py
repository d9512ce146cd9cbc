"""How vLLM gets a model's weights by the args of a launch: made up, or read from files. It reads the name in any case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OURS = "benchbook"  # random weights that behave, from our own loader
DUMMY = "dummy"  # vLLM's own for weights that are made up
_MADE = (OURS, DUMMY)


def load_format_of(args: Mapping[str, Any]) -> str:
    """Return the load format that `args` name, in small letters as vLLM reads it; '' where they leave it to vLLM."""
    return str(args.get("load_format") or "").lower()


def makes_weights(args: Mapping[str, Any]) -> bool:
    """Return whether a launch with `args` makes its weights and reads none."""
    return load_format_of(args) in _MADE
