"""Rounds that are added until means are known well enough, or the budget is used up.

What is decided follows from the records in the store alone: a run that was interrupted comes to the same rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchbook.judge.confidence import relative_half_width
from benchbook.judge.starts import start_of
from benchbook.plan.cases import Case
from benchbook.plan.order import Block, Repeat
from benchbook.plan.repeats import Until
from benchbook.records.store import Store
from benchbook.sweep.planning import RunPlan, kept_record, settled_record
from benchbook.terms.benchmarks import HostKind

_Measured = tuple[Mapping[str, float | None], str | None]  # the values of a repeat, and its start


@dataclass(frozen=True)
class Added:
    """One round to be added: its blocks, none when there is none, and the widest interval that asks for it."""

    blocks: tuple[Block, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Miss:
    """A case whose mean is not known as well as wanted."""

    case_id: str
    metric: str
    reached: float | None  # half-width as a share of the mean; None where it is unknown
    wanted: float

    def __str__(self) -> str:
        known = "of unknown spread" if self.reached is None else f"known to ±{self.reached:.1%}"
        return f"{self.metric} of {self.case_id} is {known}, wanted ±{self.wanted:.1%}"


@dataclass
class AddedRounds:
    """The rounds beyond an experiment's `repeats`. An experiment without `until` has none."""

    plan: RunPlan
    store: Store
    tried: list[Repeat] = field(default_factory=list)  # by this process, in order
    given_up: set[tuple[str, HostKind]] = field(default_factory=set)  # launches whose host of this kind would not start
    _measured: dict[tuple[str, int], _Measured] = field(default_factory=dict)  # by case id and repeat, read once

    def next_round(self, host_kind: HostKind, rows: Sequence[dict[str, Any]]) -> Added:
        """Return what is wanted next on this kind of host, and raise `repeats` in the plan's `rows` by each such round.

        A round repeats all cases that have a target, so that they stay interleaved and equally often measured. A repeat
        that failed is not tried again by the same process: the next round comes instead.
        """
        experiment, until = self.plan.experiment, self.plan.experiment.until
        if until is None:
            return Added()
        last = self.tried[-1].case if self.tried else None
        for repeat in range(experiment.repeats, until.at_most):
            blocks = experiment.added_round(host_kind, repeat, last)
            cases = [repeat.case for block in blocks for repeat in block.repeats]
            missed = self.missed(cases, repeat, until)
            if not missed:
                break
            _plan_repeats(rows, cases, repeat + 1)
            lacking = [replace(block, repeats=tuple(filter(self._is_wanted, block.repeats))) for block in blocks]
            lacking = [block for block in lacking if block.repeats]
            if lacking:
                return Added(tuple(lacking), str(missed[0]))
        return Added()

    def missed(self, cases: Sequence[Case], repeats: int, until: Until) -> list[Miss]:
        """Return what the first `repeats` repeats leave unknown, the widest first.

        INVALID repeats count for nothing. A case without a single believable value is left out: rounds do not cure it.
        """
        found = [miss for case in cases for miss in self._missed_by(case, repeats, until.targets_of(case))]
        return sorted(found, key=lambda miss: miss.wanted / miss.reached if miss.reached else 0.0)

    def reached(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
        """Return how well the mean of each target is known in the end, as a share, by case id and metric."""
        until = self.plan.experiment.until
        if until is None:
            return {}
        known = {}
        for row in rows:
            case = self.plan.cases[row["case_id"]].case
            for key in until.targets_of(case):
                width = relative_half_width(*self._values(case, key, row["repeats"]))
                known.setdefault(case.case_id, {})[key] = width
        return known

    def _is_wanted(self, repeat: Repeat) -> bool:
        is_tried = any((repeat.case, repeat.number) == (tried.case, tried.number) for tried in self.tried)
        if is_tried or (repeat.case.launch, repeat.host_kind) in self.given_up:
            return False
        return settled_record(self.store, self.plan, repeat.case.case_id, repeat.number) is None

    def _missed_by(self, case: Case, repeats: int, targets: Mapping[str, float]) -> Iterator[Miss]:
        for key, wanted in targets.items():
            values, starts = self._values(case, key, repeats)
            reached = relative_half_width(values, starts)
            if values and (reached is None or reached > wanted):
                yield Miss(case.case_id, key, reached, wanted)

    def _values(self, case: Case, key: str, repeats: int) -> tuple[list[float], list[str | None]]:
        """Return the believed values of a case, and the start that each is of."""
        measured = [self._measured_values(case, repeat) for repeat in range(repeats)]
        pairs = [(values[key], start) for values, start in measured if values.get(key) is not None]
        return [value for value, _ in pairs], [start for _, start in pairs]

    def _measured_values(self, case: Case, repeat: int) -> _Measured:
        """Return the values of a repeat and its start; no values when it is INVALID, or not measured yet."""
        place = (case.case_id, repeat)
        if place not in self._measured:
            record = kept_record(self.store, self.plan.cases[case.case_id], repeat)
            if record is None or not record.is_measured:
                return {}, None
            self._measured[place] = (record.values if record.is_believed else {}), start_of(record)
        return self._measured[place]


def _plan_repeats(rows: Sequence[dict[str, Any]], cases: Sequence[Case], repeats: int) -> None:
    case_ids = {case.case_id for case in cases}
    for row in rows:
        if row["case_id"] in case_ids:
            row["repeats"] = repeats
