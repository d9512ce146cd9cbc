"""Rounds that are added until means are known well enough, or the budget is used up.

What is decided follows from the records in the store alone: a run that was interrupted comes to the same rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchbook.judge.confidence import relative_half_width
from benchbook.judge.starts import start_of
from benchbook.plan.case import Case
from benchbook.plan.order import Block
from benchbook.plan.repeats import Until
from benchbook.records.store import Store
from benchbook.sweep.asked import still_wanted
from benchbook.sweep.block_result import BlockResult, Work
from benchbook.sweep.planning import RunPlan, kept_record, pending
from benchbook.sweep.proposers import Proposal
from benchbook.terms.benchmarks import HostKind

_Measured = tuple[Mapping[str, float | None], str | None]  # the values of a repeat, and its start


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
    """Proposes the rounds beyond an experiment's `repeats`. An experiment without `until` has none."""

    plan: RunPlan
    store: Store
    _repeats: dict[str, int] = field(default_factory=dict)  # by case id: how often it is planned, beyond `repeats`
    _measured: dict[tuple[str, int], _Measured] = field(default_factory=dict)  # by case id and repeat, read once

    def next(self, host_kind: HostKind, results: Sequence[BlockResult]) -> Proposal:
        """Return the next round on this kind of host; none where all is known well enough, or the budget is used up.

        A round repeats all cases that have a target, so that they stay interleaved and equally often measured. A repeat
        that failed is not tried again by the same process: the next round comes instead.
        """
        experiment, until = self.plan.experiment, self.plan.experiment.until
        if until is None:
            return Proposal()
        tried = [attempt.repeat for result in results for attempt in result.attempts]
        given_up = {(result.block.launch, result.block.host_kind) for result in results if result.given_up}
        work = Work(self.plan, self.store)
        for number in range(experiment.repeats, until.at_most):
            added = experiment.added_round(host_kind, number, tried[-1].case if tried else None)
            blocks = [wanted for block in added if (wanted := still_wanted(block, work)).repeats]
            cases = [repeat.case for block in blocks for repeat in block.repeats]
            missed = self.missed(cases, number, until)
            if not missed:
                break
            self._repeats |= {case.case_id: number + 1 for case in cases}
            possible = [block for block in blocks if (block.launch, block.host_kind) not in given_up]
            lacking = pending(possible, self.store, self.plan, tried)
            if lacking:
                return Proposal(tuple(lacking), f"one more round: {missed[0]}", self._repeats)
        return Proposal(repeats=self._repeats)

    def missed(self, cases: Sequence[Case], repeats: int, until: Until) -> list[Miss]:
        """Return what the first `repeats` repeats leave unknown, the widest first.

        INVALID repeats count for nothing. A case without a single believable value is left out: rounds do not cure it.
        """
        found = [miss for case in cases for miss in self._missed_by(case, repeats, until.targets_of(case))]
        return sorted(found, key=lambda miss: miss.wanted / miss.reached if miss.reached else 0.0)

    def goes_on(self, block: Block) -> bool:
        """Return whether a round goes on with the host of the one before."""
        return not self.plan.experiment.starts_anew(block.host_kind)

    def reached(self) -> dict[str, dict[str, float | None]]:
        """Return how well the mean of each target is known in the end, as a share, by case id and metric."""
        until = self.plan.experiment.until
        if until is None:
            return {}
        known = {}
        for case_id, planned in self.plan.cases.items():
            repeats = self._repeats.get(case_id, self.plan.experiment.repeats)
            for key in until.targets_of(planned.case):
                width = relative_half_width(*self._values(planned.case, key, repeats))
                known.setdefault(case_id, {})[key] = width
        return known

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
