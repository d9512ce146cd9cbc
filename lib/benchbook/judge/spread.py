"""The mean of repeats never travels without its spread and its count.

Repeats of one start share its luck. So where there are several starts, mean and spread are those of the starts' means;
where there is one, the spread is of that start alone, and the words beside it say so.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchbook.judge.stats import CONFIDENCE, quantile, stdev
from benchbook.terms.wording import counted, plus_minus_text

FEWEST = 3  # of which an interval is told
Item = TypeVar("Item")


@dataclass(frozen=True)
class Spread:
    """Repeats of one value, in the value's own unit."""

    mean: float  # of the means of starts where there are several
    stdev: float | None  # of the sample (n - 1), of starts where there are several; None for one repeat: it is unknown
    count: int  # repeats
    minimum: float
    maximum: float
    num_starts: int | None = None  # None where nobody noted them


def spread_of(values: Iterable[float | None], starts: Iterable[str | None] | None = None) -> Spread | None:
    """Return the spread of the `values` that were measured (not None, not NaN); None when there are none.

    `starts` tell of which start of its host each value is; '' or None where that is not known.
    """
    pairs = zip(values, itertools.repeat(None) if starts is None else starts)
    groups = by_start((float(value), start) for value, start in pairs if value is not None and not math.isnan(value))
    measured = [value for group in groups.values() for value in group]
    if not measured:
        return None
    units = [statistics.fmean(group) for group in groups.values()] if len(groups) > 1 else measured
    spread = stdev(units) if len(units) > 1 else None
    num_starts = len(groups) if any(groups) else None
    return Spread(statistics.fmean(units), spread, len(measured), min(measured), max(measured), num_starts)


def mean_interval(values: Sequence[float], starts: Sequence[str | None]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of positive `values`, of starts where there are several; None of under three."""
    groups = list(by_start(zip(map(math.log, values), starts, strict=True)).values())
    units = (
        [statistics.fmean(group) for group in groups] if len(groups) > 1 else [one for each in groups for one in each]
    )
    if len(units) < FEWEST:
        return None
    half = quantile(0.5 + CONFIDENCE / 2, len(units) - 1) * stdev(units) / math.sqrt(len(units))
    middle = statistics.fmean(units)
    return math.exp(middle - half), math.exp(middle + half)


def by_start(pairs: Iterable[tuple[Item, str | None]]) -> dict[str | None, list[Item]]:
    """Return what is of each start, from pairs of value, or record, and start; those of an unknown one are of one."""
    groups: dict[str | None, list[Item]] = {}
    for value, start in pairs:
        groups.setdefault(start, []).append(value)
    return groups


def spread_text(spread: Spread, unit: str = "") -> str:
    """Return '12.3 ± 0.4 ms (3 repeats of one start)' or '12.3 ms (1 repeat, spread unknown)'."""
    value = f"{plus_minus_text(spread.mean, spread.stdev)} {unit}".rstrip()
    if spread.stdev is None:
        return f"{value} (1 repeat, spread unknown)"
    return f"{value} ({repeats_text(spread)})"


def repeats_text(spread: Spread) -> str:
    """Return '3 repeats of one start', '6 repeats on 3 starts' or, where nobody noted the starts, '3 repeats'."""
    where = {None: "", 1: " of one start"}.get(spread.num_starts, f" on {spread.num_starts} starts")
    return f"{counted(spread.count, 'repeat')}{where}"
