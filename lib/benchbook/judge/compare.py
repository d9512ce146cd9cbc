"""Two launches compared: an effect with its interval for every case and metric, and a claim only where there is one.

False claims. A comparison of two launches is some dozens of ratios. Were each judged by its own 95 % interval, a launch
compared with itself would nearly always "differ" somewhere. So a comparison as a whole claims anything false in at most
5 % of comparisons of equal launches, and that 5 % is divided beforehand (families.py): half of it for the headlines,
one metric a benchmark chosen before looking (headlines.py), over all cases of a benchmark together first; half of it
for every number of a single case. Whoever reads one line reads the headlines, and they keep most of the power.

How large. What is claimed because it looks large looks too large. So beside its own 95 % interval a row has `bounds`,
in which all rows together lie 95 % of the time (Bonferroni's inequality): a claim says the least it can be by these, or
that this is open. A 1 % that had luck does not pass for 4 %.

Speed for answers. Of a launch that loses more answers than its guard allows (accuracy.py), nothing is claimed better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from benchbook.judge.accuracy import Accuracy, Kept, accuracy_of
from benchbook.judge.families import Test, decide
from benchbook.judge.gpus import common_num_gpus
from benchbook.judge.headlines import headline_of
from benchbook.judge.pairs import Arm, MatchedCase, match_cases, rotated
from benchbook.judge.spread import by_start
from benchbook.judge.starts import start_of
from benchbook.judge.stats import CONFIDENCE, Ratio, paired_ratio, unpaired_ratio
from benchbook.records.record import Record, Verdict
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.metrics import BY_KEY, Metric


class Finding(StrEnum):
    """What a row may say; a closed set."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "no claim"
    UNKNOWN = "cannot be told"  # too few repeats for an interval to speak of


@dataclass(frozen=True)
class Row:
    """One metric of one case, or of all cases of a benchmark together, under both launches."""

    benchmark: str
    case: str
    name: str  # of the case, for people
    num_cases: int
    metric: Metric
    is_headline: bool
    base: float  # geometric means over the repeats compared
    other: float
    ratio: Ratio
    num_base: int  # that are compared: in a paired comparison both are the number of pairs, else the starts of each
    num_other: int
    num_suspect: int  # of them
    values: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())  # of base and other, as many as are compared
    is_paired: bool = True
    confidence: float = CONFIDENCE  # of `bounds`: with all rows of the comparison allowed for
    level: float = 1 - CONFIDENCE  # the p-value that was needed for a claim when nothing else was claimed
    is_claimed: bool = False
    is_vetoed: bool = False  # it would be claimed better, and answers are lost

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of other / base by itself; None where the repeats tell none to speak of."""
        return self.ratio.interval()

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Return the interval of other / base with all other rows allowed for; None where none is told."""
        return self.ratio.interval(self.confidence)

    @property
    def pairs(self) -> tuple[float, ...]:
        """Return other / base of each round, in their order; empty where rounds make no pairs."""
        return tuple(theirs / ours for ours, theirs in zip(*self.values)) if self.is_paired else ()

    @property
    def detectable(self) -> float | None:
        """Return the least difference, as a share, that would likely have been claimed if it were the only one."""
        return self.ratio.detectable(1 - self.level)

    @property
    def finding(self) -> Finding:
        """Return whether `other` is better or worse than `base`, by the metric's direction, or neither can be said."""
        if self.interval is None:
            return Finding.UNKNOWN
        if not self.is_claimed:
            return Finding.OPEN
        return Finding.BETTER if (self.ratio.ratio > 1) == self.metric.higher_is_better else Finding.WORSE


@dataclass(frozen=True)
class Comparison:
    """Launch `other` against launch `base`."""

    base: str
    other: str
    is_paired: bool
    cases: tuple[MatchedCase, ...]
    lone_cases: tuple[str, ...]  # measured under one of the two only
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()  # what somebody had to say about the runs
    difference: str = ""  # the settings in which `other` differs from `base`
    num_comparisons: int = 1  # that share the 5 % of false claims, this one among them
    accuracy: Accuracy | None = None  # of the answers to a guard's items; None where nobody asked

    @cached_property
    def unequal_gpus(self) -> tuple[int, int] | None:
        """How many GPUs the base and the other launch took; None where those are equal, or not known."""
        found = common_num_gpus(case.base for case in self.cases), common_num_gpus(case.other for case in self.cases)
        return None if None in found or found[0] == found[1] else found

    @property
    def num_judged(self) -> int:
        """Return how many rows could have claimed something."""
        return sum(row.ratio.log_error is not None for row in self.rows)

    @property
    def claims(self) -> list[Row]:
        """Return the rows that claim a difference."""
        return [row for row in self.rows if row.finding in (Finding.BETTER, Finding.WORSE)]


def compare(
    base: Sequence[Record],
    other: Sequence[Record],
    names: tuple[str, str],
    *,
    is_paired: bool = True,
    num_comparisons: int = 1,
    metrics: Sequence[Metric] = (),
    accuracy: Accuracy | None = None,
) -> Comparison:
    """Return the comparison of two launches' records, the headlines over all cases of a benchmark first.

    Paired: by round, for launches of one run that took turns; else by the means of their starts. `num_comparisons`, this
    one among them, share the 5 % of false claims. `metrics` are compared alone, each a headline, where somebody names them.
    `accuracy` is that of the guard's items where other records than these have it.
    """
    cases, lone = match_cases(base, other)
    is_paired = is_paired and not any(case.is_of_one_start_each or case.is_attached_out_of_turn for case in cases)
    several = [(metric, group) for metric, group in headline_groups(cases, metrics) if len(group) > 1]
    rows = [row for metric, group in several if (row := _row(group, metric, True, is_paired))]
    for case in cases:
        headlines = headlines_of(case, metrics)
        others = () if metrics else (BY_KEY[key] for key in BENCHMARKS[case.benchmark].others)
        shown = dict.fromkeys((*headlines, *others))
        rows += [row for metric in shown if (row := _row([case], metric, metric in headlines, is_paired))]
    accuracy, judged = accuracy or accuracy_of(base, other, names), _judged(rows, num_comparisons)
    if accuracy and accuracy.kept is Kept.LOST:
        judged = [_vetoed(row) for row in judged]
    return Comparison(
        *names,
        is_paired,
        tuple(cases),
        tuple(lone),
        tuple(judged),
        num_comparisons=num_comparisons,
        accuracy=accuracy,
    )


def headlines_of(case: MatchedCase, metrics: Sequence[Metric] = ()) -> list[Metric]:
    """Return the metrics that a case is compared by first: those of `metrics` that it can have, else its own one."""
    if metrics:
        return [metric for metric in metrics if case.benchmark in metric.benchmarks]
    key = headline_of(case.benchmark, case.load)
    return [BY_KEY[key]] if key else []


def headline_groups(
    cases: Sequence[MatchedCase], metrics: Sequence[Metric] = ()
) -> list[tuple[Metric, list[MatchedCase]]]:
    """Return the cases of each benchmark that share a headline metric."""
    groups: dict[tuple[str, Metric], list[MatchedCase]] = {}
    for case in cases:
        for metric in headlines_of(case, metrics):
            groups.setdefault((case.benchmark, metric), []).append(case)
    return [(metric, group) for (_, metric), group in groups.items()]


def _row(cases: Sequence[MatchedCase], metric: Metric, is_headline: bool, is_paired: bool) -> Row | None:
    """Return the row of one case, or of several by their geometric mean in each round; None without a number."""
    base, other = by_round([case.base for case in cases], metric), by_round([case.other for case in cases], metric)
    pairs: list[int] = []
    if is_paired:
        shared = sorted(base.keys() & other.keys())
        pairs = rotated(cases, shared)
        base, other = ({repeat: arm[repeat] for repeat in pairs or shared} for arm in (base, other))
    if not base or not other:
        return None
    if is_paired:
        ours, theirs = list(base.values()), list(other.values())
    else:
        ours, theirs = per_start(cases[0].base, base), per_start(cases[0].other, other)
    ratio = (paired_ratio if is_paired else unpaired_ratio)(ours, theirs)
    row = row_of(cases, metric, is_headline, ratio, (ours, theirs), is_paired, num_suspect(cases, base, other))
    return row if pairs or not is_paired else _without_pairs(row)


def _without_pairs(row: Row) -> Row:
    """Return a row whose rounds were not rotated over places: its values are shown, and tell nothing."""
    return replace(row, ratio=replace(row.ratio, log_error=None), num_base=0, num_other=0, values=((), ()))


def num_suspect(cases: Sequence[MatchedCase], base: Mapping[int, float], other: Mapping[int, float]) -> int:
    """Return how many SUSPECT repeats are behind the values of both arms, which are by round."""
    return sum(
        arm.believed[repeat].verdict is Verdict.SUSPECT
        for case in cases
        for arm, rounds in ((case.base, base), (case.other, other))
        for repeat in rounds
    )


def row_of(
    cases: Sequence[MatchedCase],
    metric: Metric,
    is_headline: bool,
    ratio: Ratio,
    values: tuple[Sequence[float], Sequence[float]],
    is_paired: bool,
    num_suspect: int,
) -> Row:
    """Return the row of `cases`, of which `values` are what counts as one piece of evidence each, of base and other."""
    together = f"{len(cases)} {cases[0].benchmark} cases together"
    ours, theirs = values
    return Row(
        benchmark=cases[0].benchmark,
        num_cases=len(cases),
        case=cases[0].text if len(cases) == 1 else together,
        name=cases[0].name if len(cases) == 1 else together,
        metric=metric,
        is_headline=is_headline,
        base=statistics.geometric_mean(ours),
        other=statistics.geometric_mean(theirs),
        ratio=ratio,
        num_base=len(ours),
        num_other=len(theirs),
        num_suspect=num_suspect,
        values=(tuple(ours), tuple(theirs)),
        is_paired=is_paired,
    )


def by_round(arms: Sequence[Arm], metric: Metric) -> dict[int, float]:
    """Return the geometric mean over `arms` of the metric in each round in which all have it, above 0."""
    rounds = set.intersection(*(set(arm.believed) for arm in arms))
    found = {repeat: [arm.believed[repeat].values.get(metric.key) for arm in arms] for repeat in sorted(rounds)}
    return {
        # A list, since fmean counts in Python what has no length.
        repeat: math.exp(statistics.fmean([*map(math.log, values)]))
        for repeat, values in found.items()
        if all(value is not None and value > 0 for value in values)
    }


def per_start(arm: Arm, rounds: Mapping[int, float]) -> list[float]:
    """Return the geometric mean of each start over its `rounds`; those of which nobody noted the start are of one."""
    starts = by_start((value, start_of(arm.believed[repeat])) for repeat, value in rounds.items())
    return [statistics.geometric_mean(values) for values in starts.values()]


def _judged(rows: Sequence[Row], num_comparisons: int) -> list[Row]:
    """Return the rows with what they may err and whether they are claimed, in their order."""
    judged = list(rows)
    # Of rows without an error nothing can be told; they take nothing from the others.
    places = [place for place, row in enumerate(rows) if row.ratio.log_error is not None]
    decisions = decide([_test(rows[place]) for place in places], (1 - CONFIDENCE) / num_comparisons)
    for place, decision in zip(places, decisions, strict=True):
        judged[place] = replace(
            rows[place], confidence=1 - decision.error, level=decision.level, is_claimed=decision.is_claimed
        )
    return judged


def _vetoed(row: Row) -> Row:
    """Return a row without its claim of being better, if it has one."""
    return replace(row, is_claimed=False, is_vetoed=True) if row.finding is Finding.BETTER else row


def _test(row: Row) -> Test:
    group = (row.benchmark, row.metric.key) if row.is_headline else None
    return Test(row.ratio.p_value, group, is_together=row.num_cases > 1)
