"""Does a repetition agree? Of each case and metric: within what, or by how much not, or why nobody can tell.

What is compared are means of starts where both runs have three or more. With fewer, repeats of one start tell how well
that start is known and nothing of the next one: a difference below what starts vary by is then laid to them. All rows
together call an equal repetition different in at most 5 %: headlines share one half of it, the others the other (Bonferroni).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from benchbook.judge.headlines import headline_of
from benchbook.judge.loads import case_name
from benchbook.judge.spread import by_start
from benchbook.judge.starts import start_of
from benchbook.judge.stats import CONFIDENCE, MIN_DEGREES, Ratio, unpaired_ratio
from benchbook.records.record import Record
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.metrics import BY_KEY, Metric
from benchbook.terms.wording import number_text, percent_number

START_SPREAD = 0.20  # that starts of one launch are known to vary by
TOO_WIDE = 2.0  # a ratio that may be as much, or one through it, is not known


class Found(StrEnum):
    """What may be said of one metric; a closed set."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True)
class Agreement:
    """One metric of one case, there and here."""

    case_id: str
    name: str  # of the case, for people
    metric: Metric
    is_headline: bool
    there: float  # geometric means
    here: float
    ratio: Ratio  # here / there
    is_of_starts: bool
    confidence: float = CONFIDENCE  # with all rows allowed for

    @property
    def found(self) -> Found:
        """Return what may be said."""
        bounds = self.ratio.interval(self.confidence)
        if bounds is None:
            return Found.UNKNOWN
        slack = 1 if self.is_of_starts else 1 + START_SPREAD
        if bounds[0] > slack or bounds[1] < 1 / slack:
            return Found.DIFFERS
        return Found.UNKNOWN if bounds[1] > TOO_WIDE or bounds[0] < 1 / TOO_WIDE else Found.AGREES

    @property
    def sentence(self) -> str:
        """Return 'Output throughput agrees within 3.4 %: 123 tok/s there, 125 here (+1.6 %)'."""
        said = f"{number_text(self.there)} {self.metric.unit} there, {number_text(self.here)} here"
        change = f"{'+' if self.ratio.ratio >= 1 else '-'}{percent_number(abs(self.ratio.ratio - 1))} %"
        bounds = self.ratio.interval(self.confidence)
        if bounds is None:
            return f"{self.metric.label}: {said} ({change}); whether that agrees cannot be told from so few repeats"
        if self.found is Found.DIFFERS:
            half = percent_number((bounds[1] - bounds[0]) / 2)
            return f"{self.metric.label} differs by {change} ± {half} %: {said}"
        if self.found is Found.UNKNOWN:
            anything = f"-{percent_number(1 - bounds[0])} to +{percent_number(bounds[1] - 1)} %"
            return (
                f"{self.metric.label}: {said} ({change}); whether that agrees cannot be told: repeats vary so much that "
                f"it may be anything from {anything}"
            )
        within = percent_number(max(bounds[1] - 1, 1 - bounds[0]))
        of_starts = (
            ""
            if bounds[0] <= 1 <= bounds[1]
            else ", no more than starts differ by, of which there are too few to tell more"
        )
        return f"{self.metric.label} agrees within {within} %: {said} ({change}{of_starts})"


def agreements(there: Sequence[Record], here: Sequence[Record]) -> list[Agreement]:
    """Return a row a case and metric that both runs have, in the order of `there`, without what may not be believed."""
    cases, again = _by_case(there), _by_case(here)
    rows = [row for case_id, records in cases.items() for row in _rows(case_id, records, again.get(case_id, []))]
    judged = [sum(row.is_headline is kind for row in rows if row.ratio.log_error is not None) for kind in (False, True)]
    error = (1 - CONFIDENCE) / 2
    return [replace(row, confidence=1 - error / max(judged[row.is_headline], 1)) for row in rows]


def _by_case(records: Sequence[Record]) -> dict[str, list[Record]]:
    cases: dict[str, list[Record]] = {}
    for record in records:
        cases.setdefault(record.identity.case_id, []).append(record)
    return cases


def _rows(case_id: str, there: Sequence[Record], here: Sequence[Record]) -> Iterator[Agreement]:
    first = there[0]
    headline = headline_of(first.benchmark, first.load)
    for key in dict.fromkeys(filter(None, (headline, *BENCHMARKS[first.benchmark].others))):
        starts, others = _by_start(there, key), _by_start(here, key)
        if not starts or not others:
            continue
        is_of_starts = min(len(starts), len(others)) > MIN_DEGREES
        ours, theirs = (_units(groups, is_of_starts) for groups in (starts, others))
        yield Agreement(
            case_id,
            case_name(first),
            BY_KEY[key],
            key == headline,
            statistics.geometric_mean(ours),
            statistics.geometric_mean(theirs),
            unpaired_ratio(ours, theirs),
            is_of_starts,
        )


def _by_start(records: Sequence[Record], key: str) -> list[list[float]]:
    """Return the values of a metric above 0 that may be believed, those of one start together."""
    values = ((record.values.get(key), start_of(record)) for record in records if record.is_believed)
    return list(by_start((float(value), start) for value, start in values if value is not None and value > 0).values())


def _units(groups: Sequence[Sequence[float]], is_of_starts: bool) -> list[float]:
    return (
        [statistics.geometric_mean(group) for group in groups]
        if is_of_starts
        else [value for group in groups for value in group]
    )
