"""Proposes the next repeat of a search: of the load that is wanted next, until nothing is or its budget is used up.

What is wanted follows from the records in the store alone (judge/found.py): a run that was interrupted goes on with the
very repeat that it was at.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from benchbook.judge.capacity import Sample
from benchbook.judge.found import THROUGHPUT, Found, question_of
from benchbook.judge.ladder import Search
from benchbook.plan.experiment import Experiment, Sought
from benchbook.plan.order import Block, Repeat, repeat_seed
from benchbook.records.header import Find
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.sweep.block_result import BlockResult
from benchbook.sweep.planning import RunPlan, kept_record
from benchbook.sweep.proposers import Proposal
from benchbook.terms.benchmarks import HostKind

MOST_LOST = 2  # repeats of one load that told nothing; after them the load is given up, and the search with it


@dataclass
class Finding:
    """Proposes one repeat after another, of one search after another. An experiment without `find` has none."""

    plan: RunPlan
    store: Store
    _records: dict[tuple[str, int], Record] = field(default_factory=dict)  # by case id and repeat, read once

    def next(self, host_kind: HostKind, results: Sequence[BlockResult]) -> Proposal:
        """Return the next repeat that a search wants; none where each has ended, or can get no further.

        Its launch does not start then, or somebody asked to skip the case that it needs next.
        """
        repeats: dict[str, int] = {}
        skipped: list[str] = []
        tried = {(one.repeat.case.case_id, one.repeat.number) for result in results for one in result.attempts}
        given_up = {result.block.launch for result in results if result.given_up}
        for sought in self.plan.experiment.searches if host_kind == "server" else ():
            counts = self._tried(sought, tried)
            repeats |= {case.case_id: counts[place] for place, case in enumerate(sought.cases) if counts[place]}
            found = Found.of(find_facts(sought), self._measured(sought, counts))
            place = _wanted(found, counts) if sought.launch not in given_up else None
            if place is not None and self.plan.cases[sought.cases[place].case_id].key in self.store.control.skipped:
                skipped.append(sought.cases[place].case_id)
                place = None
            if place is not None:
                case, number = sought.cases[place], counts[place]
                seed = repeat_seed(self.plan.experiment.seed, case.axes_text, number)
                block = Block(sought.launch, "server", (Repeat(case, number, "server", seed),))
                why = f"{sought.name}: {_so_far(found)}next is {case.workload.load_text}, repeat {number}"
                return Proposal((block,), why, {**repeats, case.case_id: number + 1})
        return Proposal(repeats=repeats, skipped=tuple(skipped))

    def goes_on(self, block: Block) -> bool:
        """Return whether a search goes on with a host: unless the file asks for starts, or launches are taking turns."""
        experiment, is_search = self.plan.experiment, any(repeat.case.find for repeat in block.repeats)
        return not experiment.fresh_starts and (is_search or not experiment.starts_anew(block.host_kind))

    def reached(self) -> dict[str, dict[str, float | None]]:
        """Return {}: a search has no precision to reach."""
        return {}

    def _tried(self, sought: Sought, tried: Collection[tuple[str, int]]) -> list[int]:
        """Return how often each load was tried, in this process or before it: as often as it has records in a row."""
        return [self._number(case.case_id, tried) for case in sought.cases]

    def _number(self, case_id: str, tried: Collection[tuple[str, int]]) -> int:
        number = 0
        while self._record(case_id, number) or (case_id, number) in tried:
            number += 1
        return number

    def _measured(self, sought: Sought, counts: Sequence[int]) -> Iterator[Record]:
        for case, count in zip(sought.cases, counts, strict=True):
            yield from (record for number in range(count) if (record := self._record(case.case_id, number)))

    def _record(self, case_id: str, number: int) -> Record | None:
        place = (case_id, number)
        if place in self._records:
            return self._records[place]
        record = kept_record(self.store, self.plan.cases[case_id], number)
        if record and record.is_measured:  # one that failed may be tried again
            self._records[place] = record
        return record


def _wanted(found: Found, counts: Sequence[int]) -> int | None:
    """Return the place of the load that is to be measured next; None where the search has ended, or can get no further."""
    place = found.wanted()
    if place is None or counts[place] - len(found.records.get(place, ())) >= MOST_LOST:
        return None
    return place


def _so_far(found: Found) -> str:
    """Return '8 holds, 16 fails; ', what a search knows by now; '' where that is nothing."""
    search, loads = found.search, found.find.loads
    ends = ((search.holds, "holds"), (search.fails, "fails"))
    known = ", ".join(f"{loads[place]:g} {what}" for place, what in ends if place is not None)
    return f"{known}; " if known else ""


def planned_search(sought: Sought, seed: int, holding: int) -> Block:
    """Return what a search measures where so many of its loads hold and repeats do not vary: the least that it takes."""
    facts, samples, repeats = find_facts(sought), defaultdict(list), []
    question = question_of(facts)
    while (place := Search(facts.loads, question, samples, facts.at_most).wanted()) is not None:
        case, number = sought.cases[place], len(samples[place])
        repeats.append(Repeat(case, number, "server", repeat_seed(seed, case.axes_text, number)))
        margin = -1.0 if place < holding else 1.0
        grown = math.log(facts.loads[min(place, holding, len(facts.loads) - 1)])
        samples[place].append(Sample({key: grown if key == THROUGHPUT else margin for key in question.keys}))
    return Block(sought.launch, "server", tuple(repeats))


def planned_searches(experiment: Experiment) -> list[Block]:
    """Return what the searches of an experiment measure at least where half of their loads hold."""
    return [planned_search(each, experiment.seed, len(each.cases) // 2) for each in experiment.searches]


def most_of_searches(experiment: Experiment) -> list[Block]:
    """Return what the searches of an experiment may send: every load that they try where all hold, as often as may be."""
    found = []
    for sought in experiment.searches:
        block = planned_search(sought, experiment.seed, len(sought.cases))
        once = {repeat.case: repeat for repeat in block.repeats}.values()
        repeats = tuple(replace(one, number=number) for one in once for number in range(sought.find.at_most))
        found.append(replace(block, repeats=repeats))
    return found


def find_facts(sought: Sought) -> Find:
    """Return a search as run.json keeps it."""
    find = sought.find
    return Find(
        launch=sought.launch,
        curve=sought.curve,
        by=find.by,
        loads=find.loads,
        cases=tuple(case.case_id for case in sought.cases),
        limits=dict(sought.limits),
        attainment=find.attainment,
        saturation=find.saturation,
        at_most=find.at_most,
        budget_s=find.budget_s,
    )
