"""Proposes the next launch of a search: of the candidates that are screened, then of the finalists and the default in turns.

What is wanted follows from the records in the store alone (judge/searched.py): a run that was interrupted goes on with the
very launch that it was at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from benchbook.judge.halving import Halving, Next, Trial, widths
from benchbook.judge.searched import Searched
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Block, Repeat, repeat_seed
from benchbook.records.header import Search
from benchbook.records.record import Outcome, Record
from benchbook.records.store import Store
from benchbook.sweep.block_result import MAX_ATTEMPTS, BlockResult
from benchbook.sweep.planning import RunPlan, kept_record
from benchbook.sweep.proposers import Proposal
from benchbook.terms.benchmarks import HostKind
from benchbook.terms.wording import counted

_LIKELY = 1e3  # as a logarithm, above all that is measured: for the time left, candidates are taken to look better


@dataclass
class Searching:
    """Proposes one start after another. An experiment without `search` has none."""

    plan: RunPlan
    store: Store
    _measured: dict[tuple[str, int], Record] = field(default_factory=dict)  # by launch and round, read once

    def next(self, host_kind: HostKind, results: Sequence[BlockResult]) -> Proposal:
        """Return the next start that the search wants; none where it has ended, or waits for a case that is skipped."""
        experiment = self.plan.experiment
        if not experiment.search or experiment.cases[0].workload.host_kind != host_kind:
            return Proposal()
        tried = {(one.repeat.case.launch, one.repeat.number) for result in results for one in result.attempts}
        searched = self._searched(tried)
        repeats = {searched.search.cases[name]: number + 1 for name, number in sorted(searched.records)}
        wanted = searched.course.next
        if wanted is None or (wanted.launch, wanted.round) in tried:  # whose record cannot be read: none would ever do
            return Proposal(repeats=repeats)
        case_id = searched.search.cases[wanted.launch]
        if self.plan.cases[case_id].key in self.store.control.skipped:
            return Proposal(repeats=repeats, skipped=(case_id,))
        block = _block(experiment, wanted)
        repeats[case_id] = wanted.round + 1
        _, *ahead = _ahead(experiment, searched.halving)
        return Proposal((block,), _why(searched, wanted), repeats, tuple(ahead))

    def goes_on(self, block: Block) -> bool:
        """Return False: whatever a search wants is measured on a fresh start."""
        return False

    def reached(self) -> dict[str, dict[str, float | None]]:
        """Return {}: a search has no precision to reach."""
        return {}

    def _searched(self, tried: Collection[tuple[str, int]]) -> Searched:
        """Return the search with all that is done with: what this process tried, and what an earlier one did not leave half."""
        searched = Searched(search_facts(self.plan.experiment), {})
        while wanted := searched.course.next:
            place = (wanted.launch, wanted.round)
            record = self._measured.get(place) or self._kept(searched.search, wanted)
            if record is None or not (_is_final(record) or place in tried):
                break
            if record.is_measured:
                self._measured[place] = record
            searched = Searched(searched.search, {**searched.records, place: record})
        return searched

    def _kept(self, search: Search, wanted: Next) -> Record | None:
        return kept_record(self.store, self.plan.cases[search.cases[wanted.launch]], wanted.round)


def _is_final(record: Record) -> bool:
    """Return whether a repeat is done with: measured, tried often enough, or of a host that did not start."""
    return record.is_measured or record.outcome is Outcome.HOST_FAILED or record.identity.attempt >= MAX_ATTEMPTS


def _block(experiment: Experiment, wanted: Next) -> Block:
    case = next(case for case in experiment.cases if case.launch == wanted.launch)
    seed = repeat_seed(experiment.seed, case.axes_text, wanted.round)
    return Block(wanted.launch, case.workload.host_kind, (Repeat(case, wanted.round, case.workload.host_kind, seed),))


def _why(searched: Searched, wanted: Next) -> str:
    """Return 'screening, round 2 of 3: max_num_seqs_64, 5 of 13 starts'."""
    course, search = searched.course, searched.search
    if not course.finalists:
        rounds, names = widths(len(search.cases) - 1), (search.default, *course.screening[wanted.round])
        stage, number, of = "screening", wanted.round, len(rounds)
    else:
        names = (search.default, *course.finalists)
        stage, number, of = "confirmation", wanted.round - course.first_confirming, search.confirmations
    done = sum((name, wanted.round) in searched.records for name in names)
    return f"{stage}, round {number + 1} of {of}: {wanted.launch}, {done + 1} of {counted(len(names), 'start')}"


def planned_trials(experiment: Experiment) -> list[Block]:
    """Return what a search starts where no candidate is lost and finalists look better than the default; [] without one.

    A budget is not looked at: what starts take is known by measuring them.
    """
    facts = search_facts(experiment)
    return _ahead(experiment, Searched(facts, {}).halving) if facts else []


def _ahead(experiment: Experiment, halving: Halving) -> list[Block]:
    """Return what a search is likely still to start, by the trials there are and what they took."""
    took = [trial.took_s for trial in halving.trials.values()]
    trials, blocks = dict(halving.trials), []
    while wanted := replace(halving, trials=trials).course.next:
        blocks.append(_block(experiment, wanted))
        gain = _LIKELY if wanted.launch != halving.default else 0.0
        trials[wanted.launch, wanted.round] = Trial(gain, took_s=fmean(took) if took else 0.0)
    return blocks


def search_facts(experiment: Experiment) -> Search | None:
    """Return the search of an experiment as run.json keeps it; None without one."""
    search = experiment.search
    return search and Search(
        default=experiment.launches[0].name,
        cases={case.launch: case.case_id for case in experiment.cases},
        metric=search.metric,
        limits=dict(experiment.slo),
        confirmations=experiment.repeats,
        budget_s=search.budget_s,
        allow_other_outputs=search.allow_other_outputs,
        seed=experiment.order_seed,
        left_out=dict(search.left_out),
    )
