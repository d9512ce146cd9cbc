"""Does a load hold? Decided from repeats, each looked at as it comes: holds, fails, or open.

A sample is one repeat of one load. Of an SLO it is by how much each limit is kept, as the logarithm of value by limit, so
that a repeat of twice the limit and one of half of it are as far off; of a share of requests, how much more than allowed
is beyond the limits. What is asked is its mean over repeats, by Student's t: repeats are the unit of evidence, and not
requests, which wait alike. Repeats of several starts count by starts, as in confidence.py.

Whoever looks after each repeat errs more often than at one look, and latencies near a limit are skewed. So a look errs in one
of 100 (one-sided), one at growth, which twice the degrees of freedom tell, in 2.5; and of a whole search, which decides
some five loads by two to eight looks each, the answer is wrong in less than 5 of 100, at every curve and spread that was
tried (lib/proofs/capacity.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from benchbook.judge.confidence import Estimate, estimate

LEVEL, GROWTH_LEVEL = 0.01, 0.025  # of one look, one-sided
MOST_NEEDED = 200  # repeats; a load that would take more is as good as at the limit


class Decision(StrEnum):
    """What is known of a load."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "not decided"


@dataclass(frozen=True)
class Sample:
    """One repeat of a load: its values by what they are of, and the start that it was measured on."""

    values: Mapping[str, float]
    start: str | None = None
    least_sd: Mapping[str, float] = field(
        default_factory=dict
    )  # by which repeats vary at least, also where none is seen to


Samples = Mapping[int, Sequence[Sample]]  # by the place of the load on its ladder


@dataclass(frozen=True)
class Known:
    """What is known of a load, by the limit that is nearest to being broken."""

    decision: Decision
    key: str  # of that limit
    margin: float  # the mean of its samples: below 0 it is kept
    needed: int | None = None  # repeats that would decide an open load, by the spread seen; None: not known, or many


class Question(Protocol):
    """What is asked of each load of a ladder."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Return what a sample has a value of."""

    def can_ask(self, place: int) -> bool:
        """Return whether the ladder has what the question takes there."""

    def measured(self, place: int) -> tuple[int, ...]:
        """Return the places whose repeats tell of the load at `place`."""

    def known(self, place: int, samples: Samples) -> Known:
        """Return what the samples tell of the load at `place`."""


@dataclass(frozen=True)
class Kept:
    """Are all limits kept? A sample has a margin for each."""

    keys: tuple[str, ...]

    def can_ask(self, place: int) -> bool:
        """Return True: every load tells of itself."""
        return True

    def measured(self, place: int) -> tuple[int, ...]:
        """Return the place itself."""
        return (place,)

    def known(self, place: int, samples: Samples) -> Known:
        """Return whether every limit is kept, or any broken: of several, a break is looked for in each, and errs once."""
        mine, known = samples.get(place, ()), []
        for key in self.keys:
            margin = _estimate(mine, key)
            known.append(decided(margin, LEVEL, LEVEL / len(self.keys), key))
        broken = [one for one in known if one.decision is Decision.FAILS]
        undecided = [one for one in known if one.decision is Decision.OPEN]
        return max(broken or undecided or known, key=lambda one: one.margin)


@dataclass(frozen=True)
class Grows:
    """Does throughput still grow by more than `gain` when the load doubles? A sample has its logarithm."""

    loads: tuple[float, ...]
    gain: float
    key: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the one."""
        return (self.key,)

    def can_ask(self, place: int) -> bool:
        """Return whether the ladder has twice the load."""
        return self._double(place) is not None

    def measured(self, place: int) -> tuple[int, ...]:
        """Return the place and that of twice the load."""
        return place, self._double(place)

    def known(self, place: int, samples: Samples) -> Known:
        """Return HOLDS where it grows by more, FAILS where it does not."""
        low, high = (samples.get(each, ()) for each in self.measured(place))
        doublings = math.log2(self.loads[self._double(place)] / self.loads[place])
        wanted = doublings * math.log1p(self.gain)
        grown = difference(_estimate(high, self.key), _estimate(low, self.key), less=wanted)
        return decided(grown, GROWTH_LEVEL, GROWTH_LEVEL, self.key)

    def _double(self, place: int) -> int | None:
        return next((at for at, load in enumerate(self.loads) if load >= 2 * self.loads[place]), None)


def _estimate(samples: Sequence[Sample], key: str) -> Estimate:
    found = estimate([sample.values[key] for sample in samples], [sample.start for sample in samples])
    if found.error is None:
        return found
    least = max(sample.least_sd.get(key, 0.0) for sample in samples) / math.sqrt(found.count)
    return replace(found, error=max(found.error, least))


def difference(high: Estimate, low: Estimate, less: float) -> Estimate:
    """Return `less` minus what `high` is above `low`, by Welch's degrees: below 0 where it is more than `less`."""
    variances = [one.error**2 for one in (high, low) if one.error is not None]
    count, total = min(high.count, low.count), sum(variances)
    if len(variances) < 2:
        return Estimate(less - (high.mean - low.mean), None, 0, count)
    parts = [variance**2 / one.degrees for variance, one in zip(variances, (high, low)) if variance]
    degrees = int(total**2 / sum(parts)) if parts else min(high.degrees, low.degrees)
    return Estimate(less - (high.mean - low.mean), math.sqrt(total), degrees, count)


def decided(found: Estimate, holding: float, failing: float, key: str) -> Known:
    """Return what an estimate of a margin decides at these levels, and how many repeats would, where it does not."""
    if found.error is None:
        return Known(Decision.OPEN, key, found.mean)
    level = holding if found.mean < 0 else failing
    if abs(found.mean) > _quantile(found.degrees, level) * found.error:
        return Known(Decision.HOLDS if found.mean < 0 else Decision.FAILS, key, found.mean)
    return Known(Decision.OPEN, key, found.mean, _needed(found, level))


def _needed(found: Estimate, level: float) -> int | None:
    """Return how many repeats would decide, if they vary and lie as those that there are."""
    per_repeat = found.error * math.sqrt(found.count)
    for count in range(found.count + 1, MOST_NEEDED + 1):
        if abs(found.mean) > _quantile(found.degrees + count - found.count, level) * per_repeat / math.sqrt(count):
            return count
    return None


@lru_cache(maxsize=1024)
def _quantile(degrees: int, level: float) -> float:
    from scipy.special import stdtrit  # late: the command line starts without scipy

    return float(stdtrit(degrees, 1 - level))
