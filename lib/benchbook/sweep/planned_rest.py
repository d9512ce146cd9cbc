"""`benchbook plan` where `run` would go on with a run: what of it is kept, and what is left to be measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Block
from benchbook.records.header import RunState
from benchbook.records.runs import run_name
from benchbook.records.store import Store
from benchbook.sweep.planning import RunPlan, damaged_repeats, due_again_text, pending, stale_records
from benchbook.terms.wording import counted


@dataclass(frozen=True)
class GoingOn:
    """An unfinished run, with what its experiment asks by now."""

    store: Store
    plan: RunPlan

    @classmethod
    def of(cls, experiment: Experiment, unfinished: Store) -> GoingOn:
        """Return the run as `experiment` would go on with it."""
        return cls(unfinished, RunPlan.of(experiment, unfinished))

    def left(self, blocks: Sequence[Block]) -> list[Block]:
        """Return what of `blocks` is still to be measured."""
        return pending(blocks, self.store, self.plan)

    def lines(self, blocks: Sequence[Block], left: Sequence[Block], results_dir: Path) -> Iterator[str]:
        """Yield which run `run` would continue, what of it is kept where of `blocks` these are `left`, and what is stale."""
        store, plan = self.store, self.plan
        total, more = (sum(len(block.repeats) for block in some) for some in (blocks, left))
        name, (header, damage) = run_name(store.run_dir, results_dir), store.read_header()
        there = (
            f"{total - more} of {total} measurements"
            if total
            else f"{store.count_measured()} measured repeats of its search"
        )
        if header.state is RunState.RUNNING:
            so_far = f"{store.count_measured()} of {total} measurements" if total else there
            yield f"{name} is being measured now: {so_far} are there."
            return
        yield f"`run` would continue {name} ({header.state}): {there} are kept (--new starts afresh)"
        for line in filter(None, (*damage, *damaged_repeats(store, plan), due_again_text(store, plan))):
            yield f"  {line}"
        stale = Counter(", ".join(changed) for _, changed in stale_records(store, plan))
        for changed, number in stale.items():
            yield f"  stale, will not be used: {counted(number, 'record')}; changed: {changed}"
