"""Checks over the repeats of one case: do they agree, drift, or leave one out?

Each check yields (record, reason) and takes the measured repeats of a case in the order of measuring; those of
RUN_CHECKS take those of all cases.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from functools import lru_cache

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Finding
from benchbook.judge.spread import by_start
from benchbook.judge.starts import start_of
from benchbook.judge.stats import robust_stdev, stdev
from benchbook.records.record import Record
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import number_text

MAX_STDEV, TIMES_USUAL, MOST_STDEV = 0.10, 5.0, 0.30  # of the mean: of any run, of the cases of this one, of none
MAX_STDEV_OF_STARTS = 0.50  # starts of one launch vary by up to 20 %, and three of them seem to vary by more
LEAST_CASES = 4  # the spread of fewer is no usual one
TREND_REPEATS, TREND_P, MIN_DRIFT = 5, 0.02, 0.05
EXACT_REPEATS = 50
OUTLIER_REPEATS, OUTLIER_DEVIATIONS, MIN_OUTLIER = 4, 5.0, 0.15
SHOWN = 8  # values of a list
LEAST_IN_GROUP, MIN_GAP, GAP_TO_RANGE = 2, 0.03, 5.0


def by_case(records: Sequence[Record]) -> list[list[Record]]:
    """Return the records by case, each in the order of measuring."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.started_utc):
        groups.setdefault((record.identity.case_id, record.identity.fingerprint), []).append(record)
    return list(groups.values())


def measured_once(records: Sequence[Record]) -> Iterator[Finding]:
    """Note on the only repeat of a case that nothing tells how far repeats of it spread.

    Of a published figure, which is of no run, nobody knows how many there were.
    """
    if len(records) == 1 and records[0].identity.run_id:
        yield records[0], reason("measured_once", "no other repeat of this case was measured, or may be believed")


def repeats_disagree(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect every repeat of a case whose headline varies within a start, or starts vary, more than they may.

    Within a start that is 10 % of the mean, or five times what is usual in the cases of the run, 30 % at most.
    """
    cases = by_case(records)
    told = [[(key, values, *_spreads(values, case)) for key, values in _headlines(case)] for case in cases]
    known = [spread for each in told if (spread := max((within for _, _, within, _ in each), default=0.0))]
    usual = statistics.median(known) if len(known) >= LEAST_CASES else 0.0
    limit = min(MOST_STDEV, max(MAX_STDEV, TIMES_USUAL * usual))
    for case, headlines in zip(cases, told, strict=True):
        for key, values, within, between in headlines:
            if within <= limit and between <= MAX_STDEV_OF_STARTS:
                continue
            what = f"{within:.0%} of the mean" if within > limit else f"between starts {between:.0%} of their mean"
            found = reason("repeats_disagree", f"{BY_KEY[key].heading}: {listed(values)}; standard deviation {what}")
            yield from ((record, found) for record in case)
            break


def _spreads(values: Sequence[float], records: Sequence[Record]) -> tuple[float, float]:
    """Return the standard deviation within starts, pooled, and that of the starts' means, as shares of the mean."""
    groups = by_start(zip(values, map(start_of, records), strict=True)).values()
    means, spare = [statistics.fmean(group) for group in groups], len(values) - len(groups)
    squares = sum((value - mean) ** 2 for group, mean in zip(groups, means) for value in group)
    within = math.sqrt(squares / spare) if spare else 0.0
    return within / statistics.fmean(values), stdev(means) / statistics.fmean(means) if len(means) > 1 else 0.0


def repeats_trend(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect every repeat of a case whose headline rises or falls over the rounds (exact Mann-Kendall test)."""
    for key, values in _headlines(records):
        if len(values) < TREND_REPEATS:
            continue
        probability = mann_kendall_p(values)
        if probability < TREND_P and abs(drift := drift_of(values)) > MIN_DRIFT:
            found = reason(
                "repeats_trend",
                f"{BY_KEY[key].heading} over the rounds: {listed(values)}; drift {drift:+.0%}, p {probability:.3f}",
            )
            return (yield from ((record, found) for record in records))
    return None


def repeat_outlier(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect a repeat whose headline lies far outside the others of its case that were measured on the same start."""
    for of_start in by_start((record, start_of(record)) for record in records).values():
        for key, values in _headlines(of_start):
            if len(values) < OUTLIER_REPEATS:
                continue
            middle = statistics.median(values)
            spread = robust_stdev(values, middle)
            for record, value in zip(of_start, values, strict=True):
                if abs(value - middle) > max(OUTLIER_DEVIATIONS * spread, MIN_OUTLIER * middle):
                    said = f"{number_text(value)}, the median of {len(values)} repeats is {number_text(middle)}"
                    yield record, reason("repeat_outlier", f"{BY_KEY[key].heading} {said}")


def repeats_in_groups(records: Sequence[Record]) -> Iterator[Finding]:
    """Note on every repeat of a case that the pace of tokens has two states: its median ITLs fall into two groups."""
    itls_ms = [record.values.get("median_itl_ms") for record in records]
    if all(itls_ms) and (groups := two_groups(itls_ms)):
        said = " and ".join(listed([itls_ms[index] for index in group]) for group in groups)
        found = reason("repeats_in_groups", f"median ITL of the repeats: {said} ms")
        yield from ((record, found) for record in records)


def two_groups(values: Sequence[float]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the indices of the lower and of the upper of two groups into which `values` fall; None where they do not.

    Each has two values or more, and between them is a gap of 3 % and of five times what either group spans. Normal
    noise alone makes such a gap in 2.9 % of four values, 1.0 % of five, 0.2 % of six, and that only where it is so wide
    that 3 % are nothing.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    best: tuple[float, int] = (0.0, 0)
    for size in range(LEAST_IN_GROUP, len(values) - LEAST_IN_GROUP + 1):
        bottom, low, high, top = (values[order[at]] for at in (0, size - 1, size, -1))
        if high - low >= max(MIN_GAP * low, GAP_TO_RANGE * max(low - bottom, top - high)):
            best = max(best, (high - low, size))
    size = best[1]
    return (tuple(sorted(order[:size])), tuple(sorted(order[size:]))) if size else None


def mann_kendall_p(values: Sequence[float]) -> float:
    """Return the two-sided p of the Mann-Kendall test for a trend.

    Exact, by counting permutations by inversions; of more than 50 values, where that takes long, by the normal
    distribution that it has come within a hundredth of.
    """
    pairs, count = list(itertools.combinations(values, 2)), len(values)
    rises, falls = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    if count > EXACT_REPEATS:
        deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
        return math.erfc(max(0, abs(rises - falls) - 1) / deviation / math.sqrt(2))
    rarer = sum(_permutations_by_inversions(len(values))[: min(rises, falls) + 1])
    return min(1.0, 2 * rarer / math.factorial(len(values)))


@lru_cache  # nearly all cases of a run have equally many repeats
def _permutations_by_inversions(count: int) -> list[int]:
    """Return how many permutations of `count` values have k inversions, at index k."""
    ways = [1]
    for size in range(2, count + 1):
        ways = [sum(ways[max(0, k - size + 1) : k + 1]) for k in range(len(ways) + size - 1)]
    return ways


def _headlines(records: Sequence[Record]) -> Iterator[tuple[str, list[float]]]:
    """Yield the headline metrics that all of `records` have, with their values."""
    for key in BENCHMARKS[records[0].benchmark].spread_by:
        values = [record.values.get(key) for record in records]
        if all(values):
            yield key, [float(value) for value in values]


def drift_of(values: Sequence[float]) -> float:
    """Return the change from first to last by the median of all slopes (Theil-Sen), as a share of the median."""
    slopes = [(values[j] - values[i]) / (j - i) for i in range(len(values)) for j in range(i + 1, len(values))]
    return statistics.median(slopes) * (len(values) - 1) / statistics.median(values)


def listed(values: Sequence[float], decimals: int | None = None) -> str:
    """Return '12.3, 12.4, 12.6', the first eight of the values."""
    return ", ".join(number_text(value, decimals) for value in values[:SHOWN]) + (" …" if len(values) > SHOWN else "")


CASE_CHECKS = (measured_once, repeats_trend, repeat_outlier, repeats_in_groups)
RUN_CHECKS = (repeats_disagree,)
