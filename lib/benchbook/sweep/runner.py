"""The runner: a run's blocks through an executor, then what is proposed; whatever happens, its state is written."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from benchbook.measure.argv import offline_remark
from benchbook.plan.order import Block
from benchbook.records.header import PlanRow, RunHeader, RunState
from benchbook.records.record import Verdict
from benchbook.records.store import Store
from benchbook.sweep.asked import still_wanted
from benchbook.sweep.block import give_up
from benchbook.sweep.block_result import Work
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.executors import Executor
from benchbook.sweep.finding import planned_searches
from benchbook.sweep.foreman import Foreman
from benchbook.sweep.guarding import forget_items
from benchbook.sweep.ledger import Ledger
from benchbook.sweep.noting import Noting
from benchbook.sweep.planning import RunPlan, pending, planned_records
from benchbook.sweep.progress import Listener
from benchbook.sweep.proposers import Proposer
from benchbook.sweep.request_sets import forget_texts
from benchbook.sweep.searching import planned_trials
from benchbook.sweep.waiting import Waiting
from benchbook.terms.benchmarks import HOST_KINDS


@dataclass
class Runner:
    """One run: what to measure and where, where to keep it, whom to tell."""

    plan: RunPlan
    store: Store
    listener: Listener
    command: str
    executor: Executor
    proposers: Sequence[Proposer] = ()
    header: RunHeader = RunHeader()  # of the run that is continued; empty: it is new
    only: Collection[str] | None = None  # ids of the cases that are asked for; None: all, and what is proposed

    def execute(self) -> RunState:
        """Measure what is asked for and missing; return the run's state: finished, partial, failed, interrupted."""
        work = Work(self.plan, self.store)
        noting = Noting(self.listener, self.store.run_dir)
        with self.store.locked() as is_held, noting.while_it_runs():
            if not is_held:
                self.listener.say("The results lie where nothing can be locked: start no second benchbook on this run.")
            self.store.control.forget()  # what was asked of an earlier process
            began_s = time.monotonic()
            ledger = Ledger(work, estimator_for(self.plan.experiment, self.store.run_dir.parents[1]), self.header)
            foreman = Foreman(noting, ledger, self.proposers, is_whole=self.only is None)
            ledger.begin(self.command)
            left = self._begin(ledger, noting)
            try:
                self._measure(left, work, foreman)
                while blocks := next(filter(None, map(foreman.proposed, HOST_KINDS)), ()):
                    self._measure(blocks, work, foreman)
                foreman.note_reached()
                state = self._final_state(foreman)
                if state is RunState.FINISHED:
                    self.store.control.forget()
                    self.store.forget_report()  # of a former state: a finished run without one lacks it still
                    if self.plan.experiment.keep_requests == "hash":
                        forget_texts(self.store)
                        forget_items(self.store)
            except KeyboardInterrupt:
                state = RunState.INTERRUPTED
            ledger.end(state, time.monotonic() - began_s)
        return state

    def _begin(self, ledger: Ledger, listener: Listener) -> list[Block]:
        """Return the blocks that have no whole, matching record yet, and tell how much there is to do."""
        experiment = self.plan.experiment
        blocks = [self._asked(block) for block in experiment.planned_rounds()]
        left = pending(blocks, self.store, self.plan)
        for name in dict.fromkeys(block.launch for block in left if block.host_kind == "engine"):
            if remark := offline_remark(experiment.launch(name).args, experiment.offline_workloads(name)):
                listener.say(f"  launch {name!r}: {remark}")
        total, to_do = (sum(len(block.repeats) for block in some) for some in (blocks, left))
        searching = [*planned_searches(experiment), *planned_trials(experiment)] if self.only is None else []
        listener.begin(total, total - to_do, ledger.estimator.estimate((*left, *searching)))
        return left

    def _asked(self, block: Block) -> Block:
        """Return what of `block` is asked for."""
        if self.only is None:
            return block
        asked = (repeat for repeat in block.repeats if repeat.case.case_id in self.only)
        return replace(block, repeats=tuple(asked))

    def _measure(self, blocks: Sequence[Block], work: Work, foreman: Foreman) -> None:
        def may_begin(block: Block) -> bool:
            """Of a block whose host was given up in an earlier round, only records tell; some is wanted no more."""
            wanted, why = still_wanted(block, work), foreman.ledger.given_up(block)
            if wanted.repeats and why:
                foreman.noted(give_up(wanted, work, foreman, why))
            return bool(wanted.repeats) and why is None

        foreman.waiting = Waiting(blocks, may_begin)
        with closing(self.executor.run(foreman.waiting, work, foreman)) as results:
            for result in results:
                foreman.noted(result)

    def _final_state(self, foreman: Foreman) -> RunState:
        if self.store.control.is_stopping:
            self.listener.say("Stopped between two repeats, as asked.")
            return RunState.INTERRUPTED
        skipped, header = self.store.control.skipped, foreman.ledger.header
        asked = [
            row
            for row in header.plan
            if (self.only is None or row.case_id in self.only) and row.case_key not in skipped
        ]
        if not self._are_good(asked, header):
            return RunState.FAILED
        lacks_something = foreman.lacks_something()
        return RunState.FINISHED if self._are_good(header.plan, header) and not lacks_something else RunState.PARTIAL

    def _are_good(self, rows: Sequence[PlanRow], header: RunHeader) -> bool:
        """Return whether all is measured and believed that the run cannot do without."""
        needed = [row for row in rows if header.is_needed(row.launch)]
        return all(record and record.verdict is not Verdict.INVALID for record in planned_records(self.store, needed))
