"""Sample: which percentile has a number of samples earned? Exact binomial answers, no distribution assumed."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason

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


def percentile_not_earned(measured: Measured) -> Reason | None:
    """Note that the highest percentile shown rests on too few samples, and which one is earned."""
    count = sample_count(measured.benchmark, measured.values, measured.workload)
    if not count or is_earned(count, PERCENTILES[0]):
        return None
    highest = PERCENTILES[0]
    low, high = percentile_ranks(count, highest)
    upper = f"the {_ordinal(count - high + 1)} slowest" if high else "beyond the slowest"
    earned = [p for p in PERCENTILES if is_earned(count, p)]
    rest = f"p{earned[0]} is earned" if earned else "none above the median is earned"
    return reason(
        "percentile_not_earned",
        f"p{highest} of {count} samples lies between the {_ordinal(count - low + 1)} slowest and {upper} (95 %); "
        f"{samples_needed(highest)} would earn it; {rest}",
    )


def sample_count(benchmark: str, values: Mapping[str, Any], workload: Mapping[str, Any]) -> int:
    """Return how many samples the percentiles of a record rest on, 0 for a benchmark that has none."""
    if benchmark == "serve":
        return int(values.get("completed") or 0)
    return int(workload.get("num_iters") or 0) if benchmark == "latency" else 0


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


def _ordinal(number: int) -> str:
    """Return '1st', '2nd', '3rd', '4th'."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{suffix}"


CHECKS: tuple[Check, ...] = (percentile_not_earned,)
