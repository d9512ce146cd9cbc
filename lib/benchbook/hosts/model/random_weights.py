"""Random numbers for a model's tensors: the same bytes on every device, for every split of a tensor, at every start.

A tensor's bits follow from its name alone: word i of them is a hash of the name and of i. What is drawn from a normal
distribution is looked up, 16 bits each, in a table of its quantiles that is in the tensor's own format already: nothing
is computed in floating point on the device, where the last digit would depend on it.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import torch

from benchbook.hosts.model.checkpoints import BITS, CONSTANT, Tensor

RECIPE = "benchbook-1"  # part of every seed: raise it when the bytes change
CHUNK_WORDS = 1 << 22  # words of 64 bits made at a time: what is needed on the way stays below half a GiB
_QUANTILES = 1 << 16
_MASK64 = (1 << 64) - 1
# splitmix64: the steps of its counter and the two factors and three shifts of its mixing
_STEP, _FACTORS, _SHIFTS = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB), (30, 27, 31)


def made(tensor: Tensor, dtype: torch.dtype, device: torch.device | str) -> torch.Tensor:
    """Return `tensor`, whole, on `device`; `dtype` is the model's, for a tensor without a format of its own."""
    dtype = getattr(torch, tensor.format) if tensor.format else dtype
    if tensor.fill == CONSTANT:
        return torch.full(tensor.shape, tensor.value, dtype=dtype, device=device)
    # Eight bits as they are, or sixteen that say which quantile; either way a table of what they stand for.
    table = torch.arange(256, dtype=torch.uint8) if tensor.fill == BITS else _quantiles(tensor.value, dtype)
    table = table.to(device)
    flat = torch.empty(math.prod(tensor.shape), dtype=table.dtype, device=device)
    step = torch.uint8 if tensor.fill == BITS else torch.int16
    per_word = 8 // step.itemsize
    for first in range(0, flat.numel(), CHUNK_WORDS * per_word):
        part = flat[first : first + CHUNK_WORDS * per_word]
        words = _words(_seed(tensor.name), first // per_word, math.ceil(part.numel() / per_word), device)
        drawn = words.view(step)[: part.numel()]
        part.copy_(drawn if tensor.fill == BITS else table[drawn.to(torch.int32) + _QUANTILES // 2])
    return flat.view(dtype).view(tensor.shape)


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{RECIPE}:{name}".encode()).digest()[:8], "little")


def _words(seed: int, first: int, count: int, device: torch.device | str) -> torch.Tensor:
    """Return words `first` to `first + count` of the stream of `seed`, as int64, whose products wrap around."""
    words = torch.arange(first, first + count, dtype=torch.int64, device=device)
    words.mul_(_signed(_STEP)).add_(_signed(seed))
    for shift, factor in zip(_SHIFTS, (*_FACTORS, 1)):
        # torch shifts the sign in from the left; the mask takes it out again.
        words.bitwise_xor_((words >> shift).bitwise_and_((1 << (64 - shift)) - 1)).mul_(_signed(factor))
    return words


def _signed(number: int) -> int:
    number &= _MASK64
    return number - (1 << 64) if number >> 63 else number


@lru_cache(maxsize=64)  # a model has a few widths
def _quantiles(spread: float, dtype: torch.dtype) -> torch.Tensor:
    """Return the middles of 65,536 equally likely parts of N(0, spread²) in `dtype`; one byte each as uint8."""
    parts = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    table = (torch.special.ndtri(parts) * spread).to(dtype)
    return table.view(torch.uint8) if dtype.itemsize == 1 else table
