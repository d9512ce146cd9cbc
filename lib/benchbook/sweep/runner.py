"""The runner: every block of work on one start, every repeat a record, whatever happens; what is measured is kept."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from benchbook.judge.outside import disturbed_by
from benchbook.measure.argv import offline_remark
from benchbook.measure.recording import tail_of
from benchbook.plan.eta import Estimator
from benchbook.plan.order import Block, Repeat
from benchbook.project import notebooks_dir
from benchbook.records.header import FAILED, FINISHED, INTERRUPTED, PARTIAL, RUNNING, RunHeader
from benchbook.records.provenance import provenance, utc_now
from benchbook.records.record import Identity, Record, Verdict
from benchbook.records.store import Store
from benchbook.records.upgrade import HEADER_FORMAT
from benchbook.sweep.added_rounds import AddedRounds
from benchbook.sweep.again import Again, for_this_try
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.hosts import COUNTING_S, BenchHost, OpenHost
from benchbook.sweep.interrupts import was_halted_since
from benchbook.sweep.planning import RunPlan, pending, planned_records
from benchbook.sweep.progress import Listener
from benchbook.sweep.repeat import host_failed, run_repeat
from benchbook.terms.benchmarks import HOST_KINDS, HostKind
from benchbook.terms.errors import HostDiedError, HostError, HostStartError

MAX_ATTEMPTS = 2  # a failed repeat is tried once more; both attempts are kept
MAX_HOST_STARTS = 3  # a host that keeps dying is given up; the repeats left become records that say so


@dataclass
class Runner:
    """One run: what to measure, where to keep it, whom to tell."""

    plan: RunPlan
    store: Store
    listener: Listener
    command: str
    open_host: OpenHost
    header: RunHeader = field(default_factory=dict)  # of the run that is continued; empty: it is new
    only: Collection[str] | None = (
        None  # ids of the cases that are asked for; None: all, with the rounds that are added
    )
    _proven: set[tuple[str, str]] = field(default_factory=set)  # launch and host kind of what has given a number
    _hopeless: dict[tuple[str, str], HostError] = field(default_factory=dict)  # of what has given none and failed
    _later: Sequence[Block] = ()  # what comes after the block under way

    def execute(self) -> str:
        """Measure what is asked for and missing; return the run's state: finished, partial, failed, interrupted."""
        with self.store.locked() as is_held:
            if not is_held:
                self.listener.say("The results lie where nothing can be locked: start no second benchbook on this run.")
            began_s = time.monotonic()
            blocks = self._begin()
            try:
                for block in self._in_turn(blocks):
                    self._run_block(block)
                for block in self._added_blocks():
                    self._run_block(block)
                state = self._final_state()
                if state == FINISHED:
                    self.store.forget_report()  # of a former state: a finished run without one lacks it still
            except KeyboardInterrupt:
                state = INTERRUPTED
            earlier_s = self.header["wall_s"] or 0.0
            self._note(state=state, ended_utc=utc_now(), wall_s=earlier_s + time.monotonic() - began_s)
        return state

    @cached_property
    def _estimator(self) -> Estimator:
        return estimator_for(self.plan.experiment, self.store.run_dir.parents[1])

    @cached_property
    def _again(self) -> Again:
        return Again(self.plan.experiment.again, self.listener)

    @cached_property
    def _adding(self) -> AddedRounds:
        return AddedRounds(self.plan, self.store)

    def _begin(self) -> list[Block]:
        """Write the header, and return the blocks of work that have no whole, matching record yet."""
        experiment = self.plan.experiment
        if not self.header:
            self.header = {
                "schema_version": HEADER_FORMAT,
                "run_id": self.store.run_id,
                "started_utc": utc_now(),
                "wall_s": None,
                "launches": {},
                "wall_s_by_job": {},
            }
        launches = {
            launch.name: {
                "model": vars(self.plan.models[launch.name]),
                "args": dict(launch.args),
                "env": dict(launch.env),
                "hosts": self.header["launches"].get(launch.name, {}).get("hosts", []),
            }
            for launch in experiment.launches
        }
        self._note(
            experiment=experiment.name,
            started_utc=self.header["started_utc"] or self._first_record_utc(),  # a damaged header has lost it
            question=experiment.question,
            command=self.command,
            state=RUNNING,
            ended_utc=None,
            repeats=experiment.repeats,
            until=experiment.until and {"at_most": experiment.until.at_most, "targets": dict(experiment.until.targets)},
            seed=experiment.seed,
            order_seed=experiment.order_seed,
            slo=dict(experiment.slo),
            launches=launches,
            plan=self.plan.for_header(),
            provenance=provenance(notebooks_dir()),
        )
        blocks = self._asked(experiment.planned_rounds())
        left = pending(blocks, self.store, self.plan)
        for name in dict.fromkeys(block.launch for block in left if block.host_kind == "engine"):
            if remark := offline_remark(experiment.launch(name).args):
                self.listener.say(f"  launch {name!r}: {remark}")
        total, to_do = (sum(len(block.repeats) for block in some) for some in (blocks, left))
        self.listener.begin(total, total - to_do, self._estimator.estimate(left))
        return left

    def _first_record_utc(self) -> str:
        return min((record.started_utc for record in self.store.records()), default=utc_now())

    def _asked(self, blocks: Sequence[Block]) -> list[Block]:
        """Return what of `blocks` is asked for."""
        if self.only is None:
            return list(blocks)
        some = [
            replace(block, repeats=tuple(repeat for repeat in block.repeats if repeat.case.case_id in self.only))
            for block in blocks
        ]
        return [block for block in some if block.repeats]

    def _in_turn(self, blocks: Sequence[Block]) -> Iterator[Block]:
        for number, block in enumerate(blocks, start=1):
            self._later = blocks[number:]
            yield block

    def _run_block(self, block: Block) -> None:
        """Measure the repeats of one block on one host; a host that dies is started again for the repeats left, so often.

        One that is killed while it starts is started once more: what did that, another's memory, may be gone.
        With launches that take turns, a host that fails before it gave any number is not started in later rounds.
        """
        queue, attempts, host_key = deque(block.repeats), {}, (block.launch, block.host_kind)
        error = self._hopeless.get(host_key)
        launch = self.plan.experiment.launch(block.launch)
        for _ in range(0 if error else MAX_HOST_STARTS):
            began_s = time.monotonic()
            self._tell_left(queue)
            self.listener.working_on(f"starting the {block.host_kind} of launch {block.launch!r}")
            try:
                with self.open_host(launch, block.host_kind, self.store, self.plan.experiment.limits.ready_s) as host:
                    self._note_host(block, host, began_s)
                    self._drain(queue, host, attempts)
                    while added := self._added_repeats(block):
                        queue.extend(added)
                        self._drain(queue, host, attempts)
                return
            except HostDiedError as died:
                error = died
                self.listener.say(f"  the {block.host_kind} of launch {block.launch!r} died: {died.cause.code}")
                if not queue:
                    return  # with its last repeat, which was tried often enough: there is nothing to start it for
            except HostError as failed:
                was_killed_before, error = isinstance(error, HostStartError), failed
                if failed.cause.code != "killed_by_signal" or was_killed_before:
                    break  # what could not start once will not start the next time either
                self.listener.say(f"  the {block.host_kind} of launch {block.launch!r} was killed while it started")
        self._adding.given_up.add(host_key)
        if host_key not in self._proven:
            self._hopeless[host_key] = error
        for repeat in queue:
            self._give_up(repeat, error)

    def _added_repeats(self, block: Block) -> tuple[Repeat, ...]:
        """Return the repeats of one more round on the host of `block`, none when none is wanted or it has a fresh start."""
        if self.plan.experiment.starts_anew(block.host_kind):
            return ()
        return tuple(repeat for added in self._added_round(block.host_kind) for repeat in added.repeats)

    def _added_blocks(self) -> Iterator[Block]:
        """Yield the blocks of the rounds to be added, until targets are met or the budget is used up."""
        for host_kind in HOST_KINDS:
            while added := self._added_round(host_kind):
                yield from self._in_turn(added)
        self._note(reached=self._adding.reached(self.header["plan"]))

    def _added_round(self, host_kind: HostKind) -> tuple[Block, ...]:
        """Return the next round to be added, and note and tell that there is one; () when there is none.

        A round is of all cases, so there is none where only some are asked for.
        """
        if self.only is not None:
            return ()
        added = self._adding.next_round(host_kind, self.header["plan"])
        if added.blocks:
            self._note()
            self.listener.more(sum(len(block.repeats) for block in added.blocks), f"one more round: {added.why}")
        return added.blocks

    def _drain(self, queue: deque[Repeat], host: BenchHost, attempts: dict[Repeat, int]) -> None:
        """Measure repeats off `queue` until it is empty; raise HostDiedError, the repeat still queued, when the host is gone.

        A repeat that was disturbed is measured again at once, in its place; one that failed, so often as `attempts` tells.
        """
        tries: Counter[Repeat] = Counter()  # on this host
        while queue:
            repeat = queue[0]
            launch = self.plan.experiment.launch(repeat.case.launch)
            host.mend()
            self._tell_left(queue, host.warmed)
            record = self._attempt(for_this_try(repeat, launch, host, tries[repeat]), host)
            tries[repeat] += 1
            if record.is_measured:
                if disturbed_by(record):
                    self._tell_left(queue, host.warmed)  # it may not be done, and the wait is long
                if not self._again.is_wanted(record, launch):
                    queue.popleft()
                continue
            attempts[repeat] = attempts.get(repeat, 0) + 1
            if attempts[repeat] >= MAX_ATTEMPTS:
                queue.popleft()
            else:
                self.listener.say(f"  trying {repeat.case.case_id} repeat {repeat.number} once more")
            host.check_alive()

    def _attempt(self, repeat: Repeat, host: BenchHost) -> Record:
        began_s, is_warm = time.monotonic(), repeat.case.warm_shape in host.warmed
        self.listener.working_on(f"{repeat.case.case_id} repeat {repeat.number}")
        self._adding.tried.append(repeat)
        folder, identity = self._place(repeat)
        record = run_repeat(repeat, host, folder, identity, self.plan.experiment.limits)
        wall_s = time.monotonic() - began_s
        if record.is_measured:
            self._learn(lambda wall_s: self._estimator.repeat_took(repeat, is_warm, wall_s), began_s)
            self._proven.add((repeat.case.launch, repeat.host_kind))
        self.listener.recorded(record, wall_s, self.store.log_of(record))
        return record

    def _give_up(self, repeat: Repeat, error: HostError) -> None:
        folder, identity = self._place(repeat)
        record = host_failed(repeat, folder, identity, error.cause, tail_of(str(error)), {})
        self.listener.recorded(record, 0.0, self.store.log_of(record))

    def _place(self, repeat: Repeat) -> tuple[Any, Identity]:
        """Return where the next attempt at `repeat` goes, after moving an earlier one aside, and its identity."""
        self.store.check_there()  # else a folder deleted meanwhile would be made anew, without what was measured
        planned = self.plan.cases[repeat.case.case_id]
        attempt = self.store.set_aside(planned.key, repeat.number)
        earlier = map(disturbed_by, self.store.earlier_attempts(planned.key, repeat.number))
        identity = Identity(
            experiment=self.plan.experiment.name,
            run_id=self.store.run_id,
            launch=repeat.case.launch,
            case_id=repeat.case.case_id,
            fingerprint=planned.fingerprint,
            fingerprint_parts=planned.parts,
            repeat=repeat.number,
            attempt=attempt,
            disturbed=tuple(filter(None, earlier)),
        )
        return self.store.repeat_dir(planned.key, repeat.number), identity

    def _note_host(self, block: Block, host: BenchHost, began_s: float) -> None:
        wall_s = time.monotonic() - began_s
        self.header["launches"][block.launch]["hosts"].append(dict(host.facts))
        counting_s = host.facts.get(COUNTING_S, 0.0)
        self._learn(lambda wall_s: self._estimator.start_took(block, wall_s), began_s + counting_s)
        counting_key = self._estimator.counted(block.launch, counting_s)
        if counting_key and not was_halted_since(began_s):
            self.header["wall_s_by_job"].setdefault(counting_key, []).append(counting_s)
        self._note()
        self.listener.say(f"  the {block.host_kind} of launch {block.launch!r} is ready after {wall_s:.1f} s")

    def _learn(self, took: Callable[[float], str], began_s: float) -> None:
        """Tell `took` how long it was since `began_s`, and note that under the key that it returns.

        Not where this process was halted meanwhile: what it waited for went on, and may have ended long ago.
        """
        if not was_halted_since(began_s):
            wall_s = time.monotonic() - began_s
            self.header["wall_s_by_job"].setdefault(took(wall_s), []).append(round(wall_s, 3))

    def _tell_left(self, queue: Iterable[Repeat], warmed: Collection[str] | None = None) -> None:
        """Tell how long the repeats of `queue` and all later blocks take; with `warmed`, their host is there already."""
        repeats = tuple(queue)
        block = Block(repeats[0].case.launch, repeats[0].host_kind, repeats)
        later = [later for later in self._later if (later.launch, later.host_kind) not in self._hopeless]
        self.listener.left(self._estimator.estimate((block, *later), warmed))

    def _note(self, **facts: Any) -> None:
        self.header |= facts
        self.store.write_header(self.header)

    def _final_state(self) -> str:
        rows = self.header["plan"]
        asked = [row for row in rows if self.only is None or row["case_id"] in self.only]
        if not self._are_good(asked):
            return FAILED
        return FINISHED if self._are_good(rows) else PARTIAL

    def _are_good(self, rows: Sequence[dict[str, Any]]) -> bool:
        return all(record and record.verdict is not Verdict.INVALID for record in planned_records(self.store, rows))
