"""What a few repeats say about a ratio: an estimate, an interval, and what they could not have seen.

The unit of replication is the repeat, or the start where groups were not measured in turn: one number each, whatever it
was made of. The thousand requests of one repeat shared a server, a minute and a machine, and the repeats of one start
shared its luck; pooled, they would pass for a thousand pieces of evidence and are one.

Rates and latencies are positive and vary by shares of themselves, so all is computed on logarithms: a mean of them is
a geometric mean, a difference of them a ratio, and the interval of a ratio never crosses 0. Intervals are Student's t
with the degrees of freedom that the repeats leave: it is exact for normal logarithms however few they are, and pays for
it in width. The 97.5 % quantile of t is 4.3 with three pairs, 3.2 with four, 2.4 with eight, 2.0 with very many.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
MIN_DEGREES = 2  # of freedom; two pairs have one: how wide their interval comes out is itself a matter of luck
MOST_LOG = math.log(11)  # half an interval: beyond a factor of 11, 1,000 % more, it tells the repeats to be too few
MAD_TO_STDEV = 1.4826  # of a normal distribution
LEAST_ERROR = 1e-12  # of a logarithm; below lies the arithmetic's own rounding
MOST_REPEATS = 100  # that are ever advised
POWER = 0.8  # a difference counts as detectable when it would have been claimed four times in five


@dataclass(frozen=True)
class Ratio:
    """How many times larger `other` is than `base`, by repeats of both; 1 is no difference."""

    ratio: float  # of the geometric means
    log_error: float | None  # standard error of the logarithm; None where the repeats do not tell it
    degrees: float  # of freedom

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """Return the interval of the ratio at this confidence; None where the repeats do not tell one to speak of."""
        if self.log_error is None:
            return None
        half = quantile(0.5 + confidence / 2, self.degrees) * self.log_error
        if half > MOST_LOG:
            return None
        return self.ratio * math.exp(-half), self.ratio * math.exp(half)

    @property
    def p_value(self) -> float | None:
        """Return how often equal arms would differ at least so much by chance (two-sided); None without an interval."""
        if self.log_error is None:
            return None
        from scipy.special import stdtr  # imported late: the command line starts without scipy

        return 2 * float(stdtr(self.degrees, -abs(math.log(self.ratio)) / self.log_error))

    def detectable(self, confidence: float = CONFIDENCE) -> float | None:
        """Return the least difference, as a share (0.03: 3 %), that an interval of this confidence would likely show.

        Likely is POWER; by the usual sum of the two quantiles, with the spread of these very repeats. None where that
        is beyond a factor of 11: nothing that launches differ by would have been seen.
        """
        if self.log_error is None:
            return None
        quantiles = quantile(0.5 + confidence / 2, self.degrees) + quantile(POWER, self.degrees)
        needed = quantiles * self.log_error
        return math.expm1(needed) if needed <= MOST_LOG else None

    def repeats_for(self, share: float, repeats: int, confidence: float = CONFIDENCE) -> int | None:
        """Return how many repeats would likely show a difference of `share`, by the spread of these `repeats`.

        None where it takes more than MOST_REPEATS, or where the repeats tell no spread.
        """
        if self.log_error is None:
            return None
        for number in range(repeats, MOST_REPEATS + 1):
            error = self.log_error * math.sqrt(repeats / number)
            more = Ratio(self.ratio, error, self.degrees * (number - 1) / (repeats - 1)).detectable(confidence)
            if more is not None and more <= share:
                return number
        return None


def stdev(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample (n - 1) of at least two values.

    That of the standard library adds exact fractions, which takes ten times as long: a second of a large report.
    """
    # From the first value on: equal values then deviate by nothing, where their mean may be off by a rounding.
    shifted = [value - values[0] for value in values]
    return math.dist(shifted, [statistics.fmean(shifted)] * len(shifted)) / math.sqrt(len(shifted) - 1)


def holm(p_values: Sequence[float], error: float) -> list[bool]:
    """Return which of the hypotheses "equal" are rejected, so that any true one is with a chance of at most `error`.

    Holm's steps: the smallest p-value against error / number, the next against error / (number - 1), until one fails.
    Nothing is assumed about how the p-values depend on each other.
    """
    rejected = [False] * len(p_values)
    for left, place in zip(range(len(p_values), 0, -1), sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > error / left:
            break
        rejected[place] = True
    return rejected


def paired_ratio(base: Sequence[float], other: Sequence[float]) -> Ratio:
    """Return the ratio of pairs, one a round: what a round did to both arms alike (drift, heat) cancels in each pair.

    The arms have the same length, at least 1, and only positive values.
    """
    logs = [math.log(second / first) for first, second in zip(base, other, strict=True)]
    num_pairs = len(logs)
    spread = stdev(logs) if num_pairs > 1 else 0.0
    return Ratio(math.exp(statistics.fmean(logs)), _known(spread / math.sqrt(num_pairs), num_pairs - 1), num_pairs - 1)


def unpaired_ratio(base: Sequence[float], other: Sequence[float]) -> Ratio:
    """Return the ratio of two groups that share no rounds and may vary unequally.

    Student's t with the degrees of freedom of the smaller group: with those that Welch estimates, equal launches of
    three starts and eight are called different in 6 to 7 % of cases; with these in at most 5 %, however they vary
    (Mickey and Brown, Annals of Mathematical Statistics 37, 1966). Of eight and eight it costs a tenth of the width.

    Each has at least one value, all positive. What differs between the times of the groups is not in the interval.
    """
    means, squared = [], 0.0
    for values in (base, other):
        logs = [math.log(value) for value in values]
        means.append(statistics.fmean(logs))
        squared += stdev(logs) ** 2 / len(logs) if len(logs) > 1 else 0.0
    degrees = min(len(base), len(other)) - 1
    return Ratio(math.exp(means[1] - means[0]), _known(math.sqrt(squared), degrees), degrees)


@dataclass(frozen=True)
class RunSpread:
    """Standard deviations of logarithms, so shares: what varies from start to start, and from run to run beside that."""

    starts: float | None  # None where no run has two
    runs: float  # of their means, what their starts vary by included
    days: float | None  # what is left of it; None where starts are not known


def run_spread(runs: Sequence[Sequence[float]]) -> RunSpread:
    """Return by how much at least two runs vary, each by the values of its starts."""
    logs = [[math.log(value) for value in run] for run in runs]
    between = stdev([statistics.fmean(run) for run in logs])
    several = [run for run in logs if len(run) > 1]
    if not several:
        return RunSpread(None, between, None)
    within = math.sqrt(sum((len(run) - 1) * stdev(run) ** 2 for run in several) / sum(len(run) - 1 for run in several))
    of_starts = within**2 * statistics.fmean(1 / len(run) for run in logs)
    return RunSpread(within, between, math.sqrt(max(0.0, between**2 - of_starts)))


def foretold_ratio(runs: Sequence[Sequence[float]], new: Sequence[float]) -> Ratio:
    """Return the ratio of a new run to earlier ones, each by the values of its starts, with what runs vary by in it.

    An equal run lies in the interval as often as it says where all have as many starts; with more of the new one it is
    too wide, with fewer what they vary by more is added.
    """
    means = [statistics.fmean(map(math.log, run)) for run in runs]
    ratio = math.exp(statistics.fmean(map(math.log, new)) - statistics.fmean(means))
    if len(runs) < 2:
        return Ratio(ratio, None, 0)
    spread = run_spread(runs)
    fewer_starts = max(0.0, 1 / len(new) - statistics.fmean(1 / len(run) for run in runs)) * (spread.starts or 0.0) ** 2
    error = math.sqrt(spread.runs**2 * (1 + 1 / len(runs)) + fewer_starts)
    return Ratio(ratio, _known(error, len(runs) - 1), len(runs) - 1)


@functools.lru_cache(maxsize=4096)
def quantile(probability: float, degrees: float) -> float:
    """Return Student's t quantile, `probability` from 0.5 up to below 1."""
    from scipy.special import stdtrit  # imported late: the command line starts without scipy

    return -float(stdtrit(degrees, 1 - probability))  # the lower tail keeps its digits


def robust_stdev(values: Sequence[float], middle: float) -> float:
    """Return the standard deviation of normal `values` by the median of their distances from `middle`, their median."""
    return MAD_TO_STDEV * statistics.median(abs(value - middle) for value in values)


def _known(log_error: float, degrees: float) -> float | None:
    """Return None for too few repeats, and for such as do not vary in the least: that is rounding and no certainty."""
    return log_error if log_error > LEAST_ERROR and degrees >= MIN_DEGREES else None
