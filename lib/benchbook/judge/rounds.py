"""What the rounds of a comparison tell beside their mean: the median pair, a trend over the rounds, two groups.

A mean of logarithms is what launches differ by on the whole, and Student's t its interval; where a launch has a slow
repeat now and then, and the other has none, the mean moves and the interval is too narrow. The median of the pairs'
ratios does not move. Its interval is exact for any distribution: of n pairs the number below the median is
Binomial(n, 1/2), so the k-th smallest and the k-th largest hold it but for twice P(Binomial <= k - 1). With five pairs
the smallest and the largest are a 94 % interval, with four one of 88 %: a 95 % interval takes six.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchbook.judge.compare import Comparison, Finding, Row
from benchbook.judge.pairs import Arm
from benchbook.judge.repeats import drift_of, listed, mann_kendall_p, two_groups
from benchbook.judge.stats import CONFIDENCE

FEWEST_PAIRS = 3
TREND_ROUNDS, TREND_P = 4, 0.05
LEAST_SHARE = 0.01  # that a trend must move the ratio by to be worth a sentence
_TWO_STATES = "A mean over both is of neither, and how often each comes takes more rounds to tell."


@dataclass(frozen=True)
class MedianPair:
    """The median of pair ratios, with the narrowest exact interval of at least 95 %, or the widest there is."""

    ratio: float
    low: float
    high: float
    confidence: float  # below 0.95 with fewer than six pairs

    @property
    def differs(self) -> bool:
        """Return whether an interval of at least 95 % leaves out 1."""
        return self.confidence >= CONFIDENCE and not self.low <= 1 <= self.high


def median_pair(pairs: Sequence[float]) -> MedianPair | None:
    """Return the median of the ratios `pairs`, None with fewer than three."""
    count, ordered = len(pairs), sorted(pairs)
    if count < FEWEST_PAIRS:
        return None
    # How sure it is that the median lies between the k-th smallest and the k-th largest, from k = 1 on.
    outside = [sum(math.comb(count, below) for below in range(k)) for k in range(1, (count + 1) // 2 + 1)]
    sure = [1 - 2 * ways / 2**count for ways in outside]
    k = max((place for place, confidence in enumerate(sure) if confidence >= CONFIDENCE), default=0)
    return MedianPair(statistics.median(ordered), ordered[k], ordered[-1 - k], sure[k])


def contradiction(row: Row) -> MedianPair | None:
    """Return the median pair where it speaks against the mean: a difference it does not bear out, or one unseen."""
    median, is_claimed = median_pair(row.pairs), row.finding in (Finding.BETTER, Finding.WORSE)
    if median is None or row.interval is None:
        return None
    is_against = is_claimed and (median.ratio - 1) * (row.ratio.ratio - 1) <= 0
    is_unsure = is_claimed and median.confidence >= CONFIDENCE and not median.differs
    is_unseen = median.differs and row.interval[0] <= 1 <= row.interval[1]
    return median if is_against or is_unsure or is_unseen else None


def trend_p(pairs: Sequence[float]) -> float | None:
    """Return how often chance orders so many pairs at least so well, where they trend; None where they do not.

    With four rounds it takes a ratio that rises or falls all the time, which chance does in 8 of 100.
    """
    if len(pairs) < TREND_ROUNDS or abs(drift_of(pairs)) < LEAST_SHARE:
        return None
    probability = mann_kendall_p(pairs)
    is_steady = len(pairs) == TREND_ROUNDS and list(pairs) in (sorted(pairs), sorted(pairs, reverse=True))
    return probability if probability < TREND_P or is_steady else None


def rounds_said(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    """Return where the ratio of the launches in one of these `rows` trends over the rounds, and who has two states."""
    base, other = comparison.base, comparison.other
    said = [
        f"Over the rounds {other} / {base} in {_what(row)} goes {listed(row.pairs, 3)} (by chance: p "
        f"{probability:.2g}): the rounds are not alike, as when caches fill or kernels are tuned anew, and their mean is of "
        "none."
        for row in rows
        if (probability := trend_p(row.pairs)) is not None
    ]
    for place, launch in enumerate((base, other)):
        arms = [(case.base, case.other)[place] for case in comparison.cases]
        if seen := _paces(arms) or _groups(rows, place):
            more = f"; and {len(seen) - 1} more such" if len(seen) > 1 else ""
            said.append(f"{launch} has two states: {seen[0]}{more}. {_TWO_STATES}")
    return said


def _paces(arms: Sequence[Arm]) -> list[str]:
    """Return what the records of `arms` note of groups in their median ITL, each once."""
    reasons = (why for arm in arms for record in arm.believed.values() for why in record.reasons)
    return list(dict.fromkeys(why.evidence for why in reasons if why.code == "repeats_in_groups"))


def _groups(rows: Sequence[Row], place: int) -> list[str]:
    """Return the groups of the values of the launch at `place` (0: base) of a row."""
    found = [(row, row.values[place], two_groups(row.values[place])) for row in rows]
    return [
        f"{_what(row)} {' and '.join(listed([values[at] for at in group]) for group in groups)} {row.metric.unit}"
        for row, values, groups in found
        if groups
    ]


def _what(row: Row) -> str:
    return f"{row.metric.label} ({row.name})"
