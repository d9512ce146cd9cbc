"""Sizes as vLLM reads them: 25.6k is 25,600 and 64K is 65,536."""

from __future__ import annotations

import re

_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgt])|([0-9]+)([KMGT])|([0-9]+)")


def size_of(text: str) -> int | None:
    """Return the number that a size stands for, None for what is none; only small letters take a fraction, as in vLLM."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        return None
    decimal, small, binary, large, plain = match.groups()
    if small:
        return int(float(decimal) * _DECIMAL[small])
    return int(binary) * _BINARY[large] if large else int(plain)


def number_of(text: str) -> float | None:
    """Return the number that a text or a size stands for, None for what is none."""
    size = size_of(text)
    try:
        return float(text) if size is None else size
    except ValueError:
        return None
