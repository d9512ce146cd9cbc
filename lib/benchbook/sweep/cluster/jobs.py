"""The executor of a cluster: blocks are jobs of its scheduler, and what they tell is read from their folders.

All launches of one round are one job, where they take turns: they run on one node, one after the other, and no node
stands for a launch; rounds run on several nodes at once. Where that is not so, a job is a block.

A folder holds its job's id as long as that may be alive. Whoever goes on with a run has what an earlier controller left there
end first, and measures what is missing then: no repeat is measured by two. What a job was given and told is for the two of them
alone, and is deleted when it is over.
"""

from __future__ import annotations

import pickle
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchbook.plan.cluster import Cluster
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Block
from benchbook.records.files import make_folder, write_bytes, write_text
from benchbook.records.runs import JOBS
from benchbook.records.store import Store
from benchbook.sweep.block import give_up
from benchbook.sweep.block_result import BlockListener, BlockResult, GivenUp, Work, told_from
from benchbook.sweep.cluster.schedulers import Scheduler
from benchbook.sweep.cluster.told import BEGAN, DONE, ENDED, GIVEN, TOLD, UNFIT, Given, Node, told_in
from benchbook.sweep.interrupts import blocked
from benchbook.sweep.places import waits_for_maximum
from benchbook.sweep.planning import pending
from benchbook.sweep.waiting import Waiting
from benchbook.terms.errors import Cause, ExperimentError, StoreError
from benchbook.terms.wording import listed

ID, SCRIPT, LOG = "id", "job.sh", "job.log"
POLL_S = 1.0
LATE_S = 10.0  # as late as storage that nodes share shows what another one has written
END_S = 60.0  # for hosts to end in order
REFUSED_S = 600.0  # while it has none of ours


@dataclass
class Job:
    """A job under way."""

    folder: Path
    id: str
    blocks: tuple[Block, ...]
    tries: int = 1
    node: Node | None = None
    offset: int = 0  # of what it told, read so far
    is_over: bool = False  # by its own word
    why_unfit: str = ""
    gone_at_s: float | None = None  # since when its scheduler knows it no more (monotonic)
    done: list[Block] = field(default_factory=list)


@dataclass
class Jobs:
    """On a cluster."""

    cluster: Cluster
    scheduler: Scheduler
    name: str  # of the run, as jobs are called
    share_gpu: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)  # of this shell, that a job is to have too
    poll_s: float = POLL_S
    end_s: float = END_S
    refused_s: float = REFUSED_S  # how long the scheduler may refuse jobs while none is under way

    def run(self, blocks: Waiting, work: Work, listener: BlockListener) -> Generator[BlockResult]:
        """Yield what became of each block, as they end; jobs that are under way when this is closed are cancelled.

        Raises StoreError where jobs of an earlier controller cannot be ended: they would measure the same.
        """
        folder = make_folder(work.store.run_dir.resolve() / JOBS)
        folder.chmod(0o700)
        if left := self.cancel(folder):
            raise StoreError(
                f"{folder}: {listed(left)} of {self.cluster.scheduler} may still run, and would measure the same: end them, or "
                f"delete {ID} in their folders once they are over"
            )
        under_way = _UnderWay(self, blocks, work, listener, folder)
        try:
            while True:
                yield from under_way.fill()
                if under_way.is_done:
                    return
                yield from under_way.hear()
                time.sleep(self.poll_s)
        finally:
            self.cancel(folder)

    def send(self, folder: Path, given: Given) -> str:
        """Have a job do what is `given`, in `folder`; return its id, which lies there too. Raises ExperimentError."""
        write_bytes(folder / GIVEN, pickle.dumps(given))
        python = self.cluster.python or sys.executable
        command = shlex.join([python, "-P", "-m", "benchbook.sweep.cluster.job", str(folder)])
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        write_text(folder / SCRIPT, "\n".join(["#!/bin/bash", *exports, *self.cluster.setup, f"exec {command}", ""]))
        with blocked():  # a job that nobody knows of could not be cancelled
            submitted = self.scheduler.submit(f"benchbook-{self.name}-{folder.name}", folder / SCRIPT)
            write_text(folder / ID, submitted)
        return submitted

    def cancel(self, folder: Path) -> list[str]:
        """Have all jobs that have an id in `folder` end; return the ids of those of which that is not known."""
        left = {path.read_text(): path.parent for path in folder.glob(f"*/{ID}")}
        began_s, asked = time.monotonic(), 0
        while left and time.monotonic() - began_s < 2 * self.end_s:
            states = self.scheduler.states(list(left))
            for each in [each for each in left if states is not None and each not in states]:
                _tidy(left.pop(each))
            if left and time.monotonic() - began_s >= self.end_s * asked:
                self.scheduler.cancel(list(left), at_once=asked > 0)
                asked += 1
            time.sleep(self.poll_s if left else 0.0)
        return list(left)


@dataclass
class _UnderWay:
    """The jobs of a run while they are measured."""

    on: Jobs
    blocks: Waiting
    work: Work
    listener: BlockListener
    folder: Path
    jobs: list[Job] = field(default_factory=list)
    waiting: list[tuple[tuple[Block, ...], int]] = field(default_factory=list)  # for a job, with which try it is
    refused_at_s: float | None = None  # since when the scheduler takes none (monotonic)
    why_refused: str = ""

    @property
    def is_done(self) -> bool:
        return not self.jobs and not self.waiting

    def fill(self) -> Iterator[BlockResult]:
        """Submit as many jobs as may be; yield of blocks that need none, or get none."""
        if self.work.store.control.is_stopping:  # a job that has a node ends by itself after its repeat
            self.waiting.clear()
            self.on.scheduler.cancel([job.id for job in self.jobs if not job.node])
            return
        while len(self.jobs) < self.on.cluster.at_once:
            chosen, tries = self.waiting.pop(0) if self.waiting else (self._next(), 1)
            if not chosen:
                break
            left = tuple(pending(chosen, self.work.store, self.work.plan))  # one that was cancelled had the time, maybe
            if not left:
                yield from map(BlockResult, chosen)
            elif not self._submit(left, tries):
                self.waiting.insert(0, (left, tries))
                break
        if self._is_refused_for_long():
            yield from self._give_all_up()

    def hear(self) -> Iterator[BlockResult]:
        """Read what jobs have told since; yield what they have done, and have what is lost wait for another job."""
        states = self.on.scheduler.states([job.id for job in self.jobs])  # before what they told is read
        for job in tuple(self.jobs):
            yield from self._news(job)
            if self._has_ended(job, states):
                self.jobs.remove(job)
                _tidy(job.folder)
                self.blocks.elsewhere.pop(_number(job), None)
                yield from self._lost(job)

    def _next(self) -> tuple[Block, ...]:
        """Return the blocks of the next job, () when nothing may begin now."""
        busy = [block for job in self.jobs for block in job.blocks]

        def may_begin(block: Block) -> bool:
            return not waits_for_maximum(block, [*busy, *self.blocks.left])

        return next_job(self.blocks, self.work.plan.experiment, self.on.cluster, may_begin)

    def _submit(self, chosen: tuple[Block, ...], tries: int) -> bool:
        """Submit a job, and return whether the scheduler took it; why it did not is said once."""
        number = 1 + max((int(path.name) for path in self.folder.iterdir() if path.name.isdigit()), default=0)
        mine = self.folder / f"{number:04d}"
        mine.mkdir()
        there = replace(self.work, store=Store(self.folder.parent).at(number))  # with logs of its own
        given = Given(chosen, there, self.work.plan.modules, self.on.share_gpu)
        try:
            job = Job(mine, self.on.send(mine, given), chosen, tries)
        except ExperimentError as error:
            shutil.rmtree(mine)
            if self.refused_at_s is None:
                self.listener.say(f"  {self.on.cluster.scheduler} takes no further job now: {error}")
                self.refused_at_s, self.why_refused = time.monotonic(), str(error)
            return False
        self.jobs.append(job)
        self.refused_at_s = None
        again = "again, as " if tries > 1 else ""
        self.listener.say(f"  {again}job {job.id} of {self.on.cluster.scheduler}: {_said(chosen)}")
        return True

    def _is_refused_for_long(self) -> bool:
        """Return whether the scheduler has long taken nothing, and not because of jobs of ours."""
        if self.jobs and self.refused_at_s:
            self.refused_at_s = time.monotonic()
        return self.refused_at_s is not None and time.monotonic() - self.refused_at_s > self.on.refused_s

    def _give_all_up(self) -> Iterator[BlockResult]:
        why = GivenUp(Cause("job_refused", self.why_refused, "ask the scheduler by hand what it refuses, and why"), "")
        for block in [*(block for chosen, _ in self.waiting for block in chosen), *self.blocks]:
            yield give_up(block, self.work, self.listener, why)
        self.waiting.clear()

    def _news(self, job: Job) -> Iterator[BlockResult]:
        """Pass on what a job has told since; yield what it has done."""
        for name, given, offset in told_in(job.folder / TOLD, job.offset):
            job.offset = offset
            if name == BEGAN:
                (job.node,) = given
            elif name == DONE:
                job.done.append(given[0].block)
                yield given[0]
            elif name == UNFIT:
                (job.why_unfit,) = given
            elif name == ENDED:
                job.is_over = True
            else:
                if name == "going_on":
                    self.blocks.elsewhere[_number(job)] = given[0]
                where = job.node.name if job.node else f"job {job.id}"
                getattr(self.listener, name)(*told_from(where, name, given))

    def _has_ended(self, job: Job, states: Mapping[str, str] | None) -> bool:
        """Return whether nothing more comes of a job: it said so, or its scheduler no longer knows it."""
        if job.is_over or job.why_unfit:
            return True
        if states is None or job.id in states:
            job.gone_at_s = None
            return False
        job.gone_at_s = job.gone_at_s or time.monotonic()
        return time.monotonic() - job.gone_at_s > LATE_S

    def _lost(self, job: Job) -> Iterator[BlockResult]:
        """Have what a job has left undone run again, so often; then its records say why it did not."""
        undone = [block for block in job.blocks if block not in job.done]
        left = tuple(pending(undone, self.work.store, self.work.plan)) if undone else ()
        if not left or self.work.store.control.is_stopping:
            return
        where = f" on node {job.node.name}" if job.node else ""
        evidence = f"job {job.id}{where} {'refused: ' + job.why_unfit if job.why_unfit else 'ended before its time'}"
        self.listener.say(f"  {evidence} (log: {job.folder / LOG})")
        if job.tries <= self.on.cluster.again:
            self.waiting.append((left, job.tries + 1))
            return
        hint = f"look into {job.folder / LOG}, and what the scheduler says of job {job.id}"
        why = GivenUp(Cause("job_lost", evidence, hint), _tail(job.folder / LOG))
        for block in left:
            yield give_up(block, self.work, self.listener, why)


def _tidy(folder: Path) -> None:
    """Delete what only a job and its controller need, which may hold what records leave out; the log stays."""
    for name in (GIVEN, TOLD, ID):
        (folder / name).unlink(missing_ok=True)


def next_job(
    blocks: Waiting, experiment: Experiment, cluster: Cluster, fits: Callable[[Block], bool] = lambda block: True
) -> tuple[Block, ...]:
    """Take the blocks of one job: all of a round where launches take turns, else one that fits; () where none does."""
    first = blocks.take(fits)
    chosen = [first] if first else []
    is_in_turns = cluster.job == "round" and experiment.repeats > 1

    def goes_along(block: Block) -> bool:
        return (block.host_kind, _round(block)) == (first.host_kind, _round(first))

    while first and is_in_turns and experiment.starts_anew(first.host_kind) and (block := blocks.take(goes_along)):
        chosen.append(block)
    return tuple(chosen)


def _round(block: Block) -> int:
    return block.repeats[0].number


def ask_node(jobs: Jobs, folder: Path) -> Node:
    """Return the kind of node that the cluster gives to a job, from one that only says so. Raises ExperimentError."""
    submitted, gone_at_s = jobs.send(folder, Given()), None
    try:
        while True:
            states = jobs.scheduler.states([submitted])
            for name, given, _ in told_in(folder / TOLD, 0):
                if name == BEGAN:
                    return given[0]
            is_gone = states is not None and submitted not in states
            gone_at_s = (gone_at_s or time.monotonic()) if is_gone else None
            if gone_at_s and time.monotonic() - gone_at_s > LATE_S:
                told = _tail(folder / LOG) or "it wrote nothing"
                raise ExperimentError(f"job {submitted} of {jobs.cluster.scheduler} did not start: {told}")
            time.sleep(jobs.poll_s)
    except KeyboardInterrupt:
        jobs.scheduler.cancel([submitted])
        raise


def _number(job: Job) -> int:
    return int(job.folder.name)


def _said(blocks: Sequence[Block]) -> str:
    numbers = sorted({repeat.number for block in blocks for repeat in block.repeats})
    rounds = f"round {numbers[0]}" if len(numbers) == 1 else f"repeats {numbers[0]} to {numbers[-1]}"
    return f"{', '.join(f'{block.launch} {block.host_kind}' for block in blocks)}, {rounds}"


def _tail(path: Path) -> str:
    try:
        return " ".join(path.read_text(errors="replace").split())[-300:]
    except OSError:
        return ""
