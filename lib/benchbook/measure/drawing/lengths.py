"""Lengths in tokens, one a request: all the same, even, or normal or log-normal between a least and a most."""

from __future__ import annotations

import math
from typing import Any

from benchbook.plan.request_parts import Length


def drawn_lengths(length: Length, number: int, seed: tuple[int, ...]) -> list[int]:
    """Return so many lengths of this spread; more of them begin with the same ones."""
    if isinstance(length, int):
        return [length] * number
    import numpy
    from scipy import stats

    shares = numpy.random.default_rng(seed).uniform(size=number)
    if length.uniform is not None:
        least, most = map(int, length.uniform)
        return [int(tokens) for tokens in stats.randint(least, most + 1).ppf(shares)]
    least, most = length.min, length.max
    spread = _normal(*length.normal) if length.normal is not None else _lognormal(*length.lognormal)
    # What lies outside is drawn again, which is to draw from between these shares.
    low, high = spread.cdf([least - 0.5, most + 0.5])
    tokens = numpy.rint(spread.ppf(low + shares * (high - low)))
    return [int(count) for count in numpy.clip(tokens, least, most)]


def _normal(mean: float, deviation: float) -> Any:
    from scipy import stats

    return stats.norm(mean, deviation)


def _lognormal(mean: float, deviation: float) -> Any:
    """Return the spread whose lengths, not their logarithms, have this mean and deviation."""
    from scipy import stats

    sigma = math.sqrt(math.log1p((deviation / mean) ** 2))
    return stats.lognorm(sigma, scale=mean * math.exp(-(sigma**2) / 2))
