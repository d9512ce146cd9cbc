"""How far a curve keeps an SLO: the most load that does, and the first that breaks it.

An SLO holds for a load where every believed repeat stays within every limit, and, in an open loop, where the server
keeps up with the rate. What was not measured keeps no limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchbook.terms.metrics import BY_KEY, known_key


@dataclass(frozen=True)
class Breach:
    """One limit that the repeats of a load do not keep."""

    key: str  # of the metric
    worst: float | None  # the value farthest beyond; None: it was not measured in every repeat
    beyond: int  # how many repeats are beyond the limit
    repeats: int
    is_mean_beyond: bool


@dataclass(frozen=True)
class Keeping:
    """How far a curve keeps an SLO."""

    best: float | None  # the load of most throughput below the first that breaks
    broken: float | None  # the first load that breaks it
    breaches: tuple[Breach, ...]  # of that load
    is_behind: bool  # there, the server falls behind its rate, and no limit is broken
    is_kept_again: bool  # by a higher load: chance, or few repeats


def limits_by_metric(slo: Mapping[str, float]) -> dict[str, float]:
    """Return the limits of an SLO by the keys of their metrics; what names no metric is left out."""
    named = {known_key(key, BY_KEY): limit for key, limit in slo.items()}
    return {key: limit for key, limit in named.items() if key}


def breaches(values: Mapping[str, Sequence[float]], limits: Mapping[str, float]) -> tuple[Breach, ...]:
    """Return which of `limits` the repeats of one load break; `values` of each metric, NaN where not measured."""
    found = []
    for key, limit in limits.items():
        beyond = [value for value in values[key] if value > limit]
        if any(map(math.isnan, values[key])):
            found.append(Breach(key, None, len(beyond), len(values[key]), False))
        elif beyond:
            found.append(Breach(key, max(beyond), len(beyond), len(values[key]), fmean(values[key]) > limit))
    return tuple(found)


def keeping(
    values: Mapping[float, Mapping[str, Sequence[float]]],
    limits: Mapping[str, float],
    throughputs: Mapping[float, float],
    unreached: float | None = None,
) -> Keeping:
    """Return how far a curve keeps `limits`: `values` of its believed repeats and mean output throughput, by load.

    `unreached` is the first rate of an open loop at which the server falls behind.
    """
    broken = {load: found for load in values if (found := breaches(values[load], limits))}
    if unreached is not None:
        broken.setdefault(unreached, ())
    first = min(broken, default=None)
    below = [load for load in throughputs if first is None or load < first]
    best = max(below, key=throughputs.__getitem__, default=None)
    is_kept_again = first is not None and any(load > first and load not in broken for load in throughputs)
    found = broken.get(first, ())
    return Keeping(best, first, found, first is not None and not found, is_kept_again)
