"""run.json of the run under way: what it asks and plans, and what its blocks tell, composed and written in this one place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchbook.hosts.machine.facts import machine
from benchbook.plan.eta import Estimator
from benchbook.plan.order import Block
from benchbook.project import notebooks_dir
from benchbook.records.header import LaunchFacts, LaunchModel, PlanRow, Price, RunHeader, RunState, Until
from benchbook.records.host import HostFacts
from benchbook.records.parts import MachineFacts
from benchbook.records.provenance import provenance, utc_now
from benchbook.sweep.block_result import BlockResult, GivenUp, Work
from benchbook.sweep.finding import find_facts
from benchbook.sweep.searching import search_facts
from benchbook.terms.benchmarks import HostKind


@dataclass
class Ledger:
    """What is known of a run. What a block told before is not noted again when it tells of itself once more."""

    work: Work
    estimator: Estimator  # learns what each start and repeat took
    header: RunHeader  # as it is written; at first that of the run that is continued, empty for a new one
    results: dict[Block, BlockResult] = field(default_factory=dict)  # of this process, as far as the blocks are
    # Hosts, by launch and kind: those that have given a number, and why some were given up.
    _proven: set[tuple[str, HostKind]] = field(default_factory=set)
    _given_up: dict[tuple[str, HostKind], GivenUp] = field(default_factory=dict)

    def begin(self, command: str) -> None:
        """Write what is asked and planned; what was noted of earlier starts and times stays."""
        experiment = self.work.plan.experiment
        until = experiment.until
        self.note(
            experiment=experiment.name,
            run_id=self.work.store.run_id,
            started_utc=self.header.started_utc or self._first_record_utc(),  # a damaged header has lost it
            question=experiment.question,
            command=command,
            state=RunState.RUNNING,
            ended_utc=None,
            repeats=experiment.repeats,
            finds=tuple(map(find_facts, experiment.searches)),
            search=search_facts(experiment),
            until=until and Until(at_most=until.at_most, targets=dict(until.targets)),
            seed=experiment.seed,
            order_seed=experiment.order_seed,
            slo=dict(experiment.slo),
            price=experiment.price and Price(**experiment.price.model_dump()),
            launches={launch.name: self._launch(launch.name) for launch in experiment.launches},
            plan=self.work.plan.for_header(),
            provenance=provenance(notebooks_dir(), MachineFacts.of(machine())),
        )

    def end(self, state: RunState, took_s: float) -> None:
        """Write how the run ended, `took_s` after this process took it up."""
        self.note(state=state, ended_utc=utc_now(), wall_s=(self.header.wall_s or 0.0) + took_s)

    def take_in(self, result: BlockResult) -> None:
        """Note what is new in what a block tells of itself, and write it where a host has started."""
        block, before = result.block, self.results.get(result.block, BlockResult(result.block))
        self.results[block] = result
        if result.given_up:
            self._given_up[block.launch, block.host_kind] = result.given_up
        for start in result.starts[len(before.starts) :]:
            self._started(block.launch, start.facts)
            counted = self.estimator.counted(block.launch, start.counting_s or 0.0)
            if start.wall_s is not None:
                self._took(self.estimator.start_took(block, start.wall_s), start.wall_s)
            if counted:
                self._took(counted, start.counting_s)
        for attempt in result.attempts[len(before.attempts) :]:
            if attempt.is_measured:
                self._proven.add((block.launch, block.host_kind))
            if attempt.is_measured and attempt.wall_s is not None:
                key = self.estimator.repeat_took(attempt.repeat, attempt.is_warm, attempt.wall_s)
                self._took(key, attempt.wall_s)
        if result.starts != before.starts:
            self.note()

    def note(self, **facts: Any) -> None:
        """Write run.json with these facts, too."""
        self._know(**facts)
        self.work.store.write_header(self.header)

    def plan_repeats(self, repeats: Mapping[str, int]) -> None:
        """Note how often cases are planned by now, by their ids."""
        known = {row.case_id: row.repeats for row in self.rows}
        if repeats := {case_id: number for case_id, number in repeats.items() if number != known.get(case_id)}:
            self._know(plan=self.work.plan.for_header({**known, **repeats}))

    @property
    def rows(self) -> Sequence[PlanRow]:
        """Return the planned cases."""
        return self.header.plan

    def given_up(self, block: Block) -> GivenUp | None:
        """Return why the host of `block` is not started again: it was given up before it gave any number."""
        host = (block.launch, block.host_kind)
        return None if host in self._proven else self._given_up.get(host)

    def start_anew(self, blocks: Collection[Block]) -> None:
        """Forget what became of these blocks before, and why their hosts were given up: somebody wants them tried again."""
        for block in blocks:
            self.results.pop(block, None)
            self._given_up.pop((block.launch, block.host_kind), None)

    def _launch(self, name: str) -> LaunchFacts:
        launch, before = self.work.plan.experiment.launch(name), self.header.launches.get(name, LaunchFacts())
        model, settings = (
            LaunchModel(**vars(self.work.plan.models[name])),
            {"args": dict(launch.args), "env": dict(launch.env)},
        )
        attached = launch.attached.settings if launch.attached else {}
        return LaunchFacts(model=model, attached=attached, **launch.named_engine, **settings, hosts=before.hosts)

    def _started(self, name: str, host: HostFacts) -> None:
        launch = self.header.launches[name]
        launch = launch.model_copy(update={"hosts": (*launch.hosts, host)})
        self._know(launches={**self.header.launches, name: launch})

    def _took(self, key: str, wall_s: float) -> None:
        times = self.header.wall_s_by_job
        self._know(wall_s_by_job={**times, key: (*times.get(key, ()), round(wall_s, 3))})

    def _know(self, **facts: Any) -> None:
        self.header = self.header.model_copy(update=facts)

    def _first_record_utc(self) -> str:
        return min((record.started_utc for record in self.work.store.records()), default=utc_now())
