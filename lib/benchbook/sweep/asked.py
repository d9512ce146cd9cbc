"""What somebody asks of a run under way, see records/control.py, as its blocks and its foreman heed it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from benchbook.plan.case import Case
from benchbook.plan.order import Block, Repeat, repeat_seed
from benchbook.sweep.block_result import Work
from benchbook.sweep.planning import settled_record
from benchbook.terms.benchmarks import HostKind


def still_wanted(block: Block, work: Work) -> Block:
    """Return what of `block` nobody has asked to leave out: nothing where the run is to stop, no case that is skipped."""
    control = work.store.control
    if control.is_stopping:
        return replace(block, repeats=())
    skipped = control.skipped
    if not skipped:
        return block
    keys = {repeat.case.case_id: work.plan.cases[repeat.case.case_id].key for repeat in block.repeats}
    return replace(block, repeats=tuple(one for one in block.repeats if keys[one.case.case_id] not in skipped))


def asked_again(host_kind: HostKind, work: Work) -> tuple[Block, ...]:
    """Return, as blocks of their own, what somebody asked to try again on this kind of host; it was asked for once."""
    control, repeats = work.store.control, defaultdict(list)
    asked = control.again
    for planned in work.plan.cases.values():
        if planned.key in asked and planned.case.workload.host_kind == host_kind:
            control.begun(planned.key)
            repeats[planned.case.launch] += _lacking(planned.case, work)
    return tuple(Block(launch, host_kind, tuple(mine)) for launch, mine in repeats.items() if mine)


def _lacking(case: Case, work: Work) -> Iterator[Repeat]:
    """Yield the repeats of a case that are planned, or were tried, and gave no number that stays."""
    plan, key, number = work.plan, work.plan.cases[case.case_id].key, 0
    planned = 0 if case.find or plan.experiment.search else plan.experiment.repeats
    while number < planned or work.store.has_record_file(key, number):
        if settled_record(work.store, plan, case.case_id, number) is None:
            seed = repeat_seed(plan.experiment.seed, case.axes_text, number)
            yield Repeat(case, number, case.workload.host_kind, seed)
        number += 1
