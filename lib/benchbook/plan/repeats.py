"""How often a case is measured: a plain number, so many starts, or until its means are known well enough.

    repeats: {starts: 3}                                                          # each round on a fresh start
    repeats: {starts: 3, at_most: 10, until: {output_throughput_tok_s: 2 %}}      # at most 10 starts
    repeats: {at_least: 3, at_most: 10, until: {output_throughput_tok_s: 2 %}}    # of a single launch: on one start

After the first rounds, another one is held while any case's mean is known less well than wanted (judge/confidence.py).
What rounds on one start tell is true of that start alone; with `starts`, or where launches take turns, each round is a
start, and what is known is known of starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator

from benchbook.plan.case import Case
from benchbook.plan.document import Document, Where
from benchbook.plan.precision import read_targets
from benchbook.plan.strict import StrictModel
from benchbook.terms.metrics import METRICS, metrics_for

MAX_REPEATS = 1000
AT_LEAST = 3
RepeatCount = Annotated[int, Field(ge=1, le=MAX_REPEATS)]
AgainCount = Annotated[int, Field(ge=0, le=10)]
DEFAULT_AGAIN = 2
_Several = Annotated[int, Field(ge=2, le=MAX_REPEATS)]  # one has no spread


def target_keys(benchmark: str) -> list[str]:
    """Return the metrics that rounds may be added for, of those that `benchmark` has."""
    return [metric.key for metric in metrics_for(benchmark) if metric.can_be_wanted]


@dataclass(frozen=True)
class Until:
    """When rounds end: when every target is met, or after `at_most` of them."""

    at_most: int
    targets: Mapping[str, float]  # metric to greatest half-width, as a share of the mean

    def targets_of(self, case: Case) -> dict[str, float]:
        """Return the targets that `case` has a value for; a case without any is not measured again."""
        known = target_keys(case.workload.benchmark)
        return {key: share for key, share in self.targets.items() if key in known}

    def text(self) -> str:
        """Return e.g. 'output_throughput_tok_s is known to ±2 %'."""
        return " and ".join(f"{key} is known to ±{100 * share:g} %" for key, share in self.targets.items())


class _RangeKeys(StrictModel):
    starts: _Several | None = None
    at_least: _Several | None = None
    at_most: RepeatCount
    until: dict[str, Any]

    @model_validator(mode="after")
    def _is_a_range(self) -> _RangeKeys:
        if self.starts and self.at_least:
            raise ValueError("starts are the least rounds already, each on a fresh start: leave at_least out")
        if self.at_most < self.least:
            raise ValueError(f"at_most {self.at_most} is below {'starts' if self.starts else 'at_least'} {self.least}")
        return self

    @property
    def least(self) -> int:
        return self.starts or self.at_least or AT_LEAST


_RANGE = _RangeKeys.model_fields.keys() - {"starts"}


class _StartsKeys(StrictModel):
    starts: _Several


def read_repeats(doc: Document, where: Where, cases: Sequence[Case]) -> tuple[int, bool, Until | None]:
    """Return how many rounds there are, whether each has a fresh start, and until when more are added; or refuse."""
    if _RANGE.isdisjoint(doc.at(where)):
        return doc.parse(where, _StartsKeys).starts, True, None
    keys = doc.parse(where, _RangeKeys)
    known = [metric.key for metric in METRICS if metric.can_be_wanted]
    until = Until(keys.at_most, read_targets(doc, (*where, "until"), keys.until, known, []))
    for key in until.targets if cases else ():  # without any, they were refused
        if not any(key in target_keys(case.workload.benchmark) for case in cases):
            doc.faults.note(doc.error((*where, "until", key), "no benchmark of this experiment has this metric"))
    return keys.least, keys.starts is not None, until
