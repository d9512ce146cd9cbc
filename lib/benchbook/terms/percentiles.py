"""Percentiles: which one has a number of samples earned? Exact binomial answers, no distribution assumed."""

from __future__ import annotations

import functools
import itertools
import math

CONFIDENCE = 0.99  # that the second slowest sample lies above the percentile
INTERVAL = 0.95
PERCENTILES = (99, 95, 90)  # those that records hold above the median


def is_earned(count: int, percentile: float) -> bool:
    """Return whether, with 99 % confidence, at least two of `count` samples lie beyond the percentile.

    P(Binomial(n, 1 - p) <= 1) <= 1 %: the rule of early stopping with one slower sample. p99 from 662 samples on,
    p95 from 130, p90 from 64.
    """
    return _at_most(1, count, 1 - percentile / 100) <= 1 - CONFIDENCE


@functools.cache
def samples_needed(percentile: float) -> int:
    """Return the least number of samples that earns `percentile`."""
    count = 2
    while not is_earned(count, percentile):
        count += 1
    return count


def percentile_ranks(count: int, percentile: float) -> tuple[int, int | None]:
    """Return the ranks (1: fastest) between which the percentile lies with 95 % confidence; None: beyond the slowest.

    Exact: the number of samples below a percentile is Binomial(count, p), whatever the distribution.
    """
    share, tail = percentile / 100, (1 - INTERVAL) / 2
    below = list(itertools.accumulate(_exactly(rank, count, share) for rank in range(count + 1)))
    low = next(rank for rank in range(count + 1) if below[rank] > tail)
    high = next((rank for rank in range(count) if below[rank] >= 1 - tail), count) + 1
    return max(1, low), high if high <= count else None


def percentile_of(key: str) -> int | None:
    """Return 99 for the metric key 'p99_ttft_ms', None for one that is no percentile above the median."""
    head = key.partition("_")[0]
    return int(head[1:]) if head in {f"p{p}" for p in PERCENTILES} else None


def _at_most(most: int, count: int, share: float) -> float:
    """Return P(Binomial(count, share) <= most)."""
    return math.fsum(_exactly(number, count, share) for number in range(min(most, count) + 1))


def _exactly(number: int, count: int, share: float) -> float:
    """Return P(Binomial(count, share) = number), by logarithms: the coefficients outgrow a float."""
    ways = math.lgamma(count + 1) - math.lgamma(number + 1) - math.lgamma(count - number + 1)
    return math.exp(ways + number * math.log(share) + (count - number) * math.log1p(-share))
