"""How well the mean of repeats is known, for who looks after every round and stops when it is known well enough.

Who stops when an interval looks narrow stops a little too often by luck: of means "known" by a 95 % t-interval then, 90
to 95 % are. So the interval asked for is one of 98 %. Stopped by it after at least three rounds, 95 % of the means and
more lie inside, at every spread and budget that was tried (lib/proofs/starts.py). Stein's two stages, which are exact,
take about as many rounds after a pilot of five, and twice as many after one of three.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from benchbook.judge.spread import by_start
from benchbook.judge.stats import stdev

LOOKED_AT = 0.98  # of an interval that is looked at after every round, so that 95 % of them hold the mean


@dataclass(frozen=True)
class Estimate:
    """A mean of repeats, and how well it is known."""

    mean: float
    error: float | None  # the standard error of the mean; None where nothing tells it
    degrees: int  # of freedom of that error
    count: int  # repeats


def estimate(values: Iterable[float | None], starts: Iterable[str | None] | None = None) -> Estimate:
    """Return the mean of the values that are not None, of which there is one at least, with its standard error.

    `starts` tell of which start each value is. One of each of several starts tells of starts; those of one start tell of
    that start, and several of each, as after an interruption, of the mean of these very starts: how far they lie apart is
    no part of it.
    """
    pairs = zip(values, itertools.repeat(None) if starts is None else starts)
    groups = list(by_start((value, start) for value, start in pairs if value is not None).values())
    if all(len(group) == 1 for group in groups):
        groups = [[value for group in groups for value in group]]
    count, degrees = sum(map(len, groups)), sum(len(group) - 1 for group in groups)
    mean = statistics.fmean(map(statistics.fmean, groups)) if count else 0.0
    if degrees <= 0:
        return Estimate(mean, None, 0, count)
    variance = sum(stdev(group) ** 2 * (len(group) - 1) for group in groups if len(group) > 1) / degrees
    return Estimate(mean, math.sqrt(variance * sum(1 / len(group) for group in groups)) / len(groups), degrees, count)


def relative_half_width(values: Iterable[float | None], starts: Iterable[str | None] | None = None) -> float | None:
    """Return to what share of itself the mean is known (95 %, looked at after each round); None where it is unknown.

    The half-width of Student's interval at 98 %: of two values that is 31.8 standard errors, of three 7.0, of five 3.7,
    of ten 2.8. `starts` are as in `estimate`. Values that are None are no values; one alone has no spread, and a mean of 0
    no share.
    """
    from scipy.special import stdtrit  # late: the command line starts without scipy

    found = estimate(values, starts)
    if found.error is None or found.mean == 0:
        return None
    return float(stdtrit(found.degrees, 0.5 + LOOKED_AT / 2)) * found.error / abs(found.mean)
