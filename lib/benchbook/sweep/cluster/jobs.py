"""The executor of a cluster: blocks are jobs of its scheduler, and what they tell is read from their folders.

All launches of one round are one job, where they take turns: they run on one node, one after the other, and no node
stands for a launch; rounds run on several nodes at once. Where that is not so, a job is a block.

A folder holds its job's id before anything else of it counts. Whoever goes on with a run cancels what an earlier controller
has left there, which was killed, and measures what is missing: no repeat is measured by two.
"""

from __future__ import annotations

import pickle
import shlex
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchbook.plan.cluster import Cluster
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Block
from benchbook.records.files import make_folder, write_bytes, write_text
from benchbook.records.store import Store
from benchbook.sweep.block import give_up
from benchbook.sweep.block_result import BlockListener, BlockResult, GivenUp, Work
from benchbook.sweep.cluster.schedulers import Scheduler
from benchbook.sweep.cluster.told import BEGAN, DONE, ENDED, GIVEN, TOLD, UNFIT, Given, Node, told_in
from benchbook.sweep.places import waits_for_maximum
from benchbook.sweep.planning import pending
from benchbook.sweep.waiting import Waiting
from benchbook.terms.errors import Cause, ExperimentError

JOBS, ID, SCRIPT, LOG = "jobs", "id", "job.sh", "job.log"
POLL_S = 1.0
LATE_S = 10.0  # as late as storage that nodes share shows what another one has written
END_S = 60.0  # for hosts to end in order


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
    poll_s: float = POLL_S

    def run(self, blocks: Waiting, work: Work, listener: BlockListener) -> Generator[BlockResult]:
        """Yield what became of each block, as they end; jobs that are under way when this is closed are cancelled."""
        folder = make_folder(work.store.run_dir.resolve() / JOBS)
        self._cancel([path.read_text() for path in folder.glob(f"*/{ID}") if path.read_text()], folder)
        under_way: list[Job] = []
        try:
            while True:
                while len(under_way) < self.cluster.at_once and (chosen := self._next(blocks, under_way, work)):
                    under_way.append(self._submit(chosen, work, folder))
                    listener.say(f"  job {under_way[-1].id} of {self.cluster.scheduler}: {_said(chosen)}")
                if not under_way:
                    return
                states = self.scheduler.states([job.id for job in under_way])  # before what they told is read
                for job in tuple(under_way):
                    yield from self._news(job, blocks, listener)
                    if self._has_ended(job, states):
                        under_way.remove(job)
                        blocks.elsewhere.pop(_number(job), None)
                        if left := self._left(job, work):
                            yield from self._lost(job, left, under_way, work, folder, listener)
                time.sleep(self.poll_s)
        finally:
            self._cancel([job.id for job in under_way], folder)

    def _next(self, blocks: Waiting, under_way: Sequence[Job], work: Work) -> tuple[Block, ...]:
        """Return the blocks of the next job, () when nothing may begin now: of one round, or one block."""
        busy = [block for job in under_way for block in job.blocks]

        first = blocks.take(lambda block: not waits_for_maximum(block, [*busy, *blocks.left]))
        chosen = [first] if first else []
        while chosen and (
            block := blocks.take(lambda each: goes_along(each, chosen[0], work.plan.experiment, self.cluster))
        ):
            chosen.append(block)
        return tuple(chosen)

    def _submit(self, chosen: Sequence[Block], work: Work, folder: Path, tries: int = 1) -> Job:
        number = 1 + sum(1 for _ in folder.iterdir())
        mine = make_folder(folder / f"{number:04d}")
        there = replace(work, store=Store(folder.parent).at(number))  # with logs of its own
        given = Given(tuple(chosen), there, work.plan.modules, self.share_gpu)
        return Job(mine, self.send(mine, given), tuple(chosen), tries)

    def send(self, folder: Path, given: Given) -> str:
        """Have a job do what is `given`, in `folder`; return its id, which lies there too."""
        write_bytes(folder / GIVEN, pickle.dumps(given))
        python = self.cluster.python or sys.executable
        command = shlex.join([python, "-P", "-m", "benchbook.sweep.cluster.job", str(folder)])
        write_text(folder / SCRIPT, "\n".join(["#!/bin/bash", *self.cluster.setup, f"exec {command}", ""]))
        submitted = self.scheduler.submit(f"benchbook-{self.name}-{folder.name}", folder / SCRIPT)
        write_text(folder / ID, submitted)
        return submitted

    def _news(self, job: Job, blocks: Waiting, listener: BlockListener) -> Iterator[BlockResult]:
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
                    blocks.elsewhere[_number(job)] = given[0]
                getattr(listener, name)(*_at_node(job, name, given))

    def _has_ended(self, job: Job, states: dict[str, str] | None) -> bool:
        """Return whether nothing more comes of a job: it said so, or its scheduler no longer knows it."""
        if job.is_over or job.why_unfit:
            return True
        if states is None or job.id in states:
            job.gone_at_s = None
            return False
        job.gone_at_s = job.gone_at_s or time.monotonic()
        return time.monotonic() - job.gone_at_s > (LATE_S if job.node else 3 * self.poll_s)

    def _left(self, job: Job, work: Work) -> tuple[Block, ...]:
        blocks = [block for block in job.blocks if block not in job.done]
        return tuple(pending(blocks, work.store, work.plan)) if blocks else ()

    def _lost(
        self, job: Job, left: tuple[Block, ...], under_way: list[Job], work: Work, folder: Path, listener: BlockListener
    ) -> Iterator[BlockResult]:
        """Have what a job has left undone run again, so often; then its records say why it did not."""
        where = f" on node {job.node.name}" if job.node else ""
        evidence = f"job {job.id}{where} {'refused: ' + job.why_unfit if job.why_unfit else 'ended before its time'}"
        listener.say(f"  {evidence} (log: {job.folder / LOG})")
        if job.tries <= self.cluster.again:
            under_way.append(self._submit(left, work, folder, job.tries + 1))
            listener.say(f"  again, as job {under_way[-1].id}: {_said(left)}")
            return
        hint = f"look into {job.folder / LOG}, and what the scheduler says of job {job.id}"
        for block in left:
            yield give_up(block, work, listener, GivenUp(Cause("job_lost", evidence, hint), _tail(job.folder / LOG)))

    def _cancel(self, ids: Sequence[str], folder: Path) -> None:
        """Have jobs end, and return when their scheduler knows them no more: what follows must not meet them."""
        began_s, asked = time.monotonic(), 0
        while ids and time.monotonic() - began_s < END_S * 2:
            states = self.scheduler.states(ids)
            ids = [each for each in ids if states is None or each in states]
            if ids and time.monotonic() - began_s >= END_S * asked:  # the second time ends them at once
                self.scheduler.cancel(ids)
                asked += 1
            time.sleep(self.poll_s if ids else 0.0)
        for path in folder.glob(f"*/{ID}"):
            path.rename(path.with_name(f"{ID}.ended"))


def goes_along(block: Block, first: Block, experiment: Experiment, cluster: Cluster) -> bool:
    """Return whether `block` is of the job that `first` began: where launches take turns, all of one round are."""
    is_in_turns = cluster.job == "round" and len(experiment.launches) > 1 and experiment.repeats > 1
    return is_in_turns and (block.host_kind, _round(block)) == (first.host_kind, _round(first))


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


def _at_node(job: Job, name: str, given: tuple) -> tuple:
    where = job.node.name if job.node else f"job {job.id}"
    if name == "say":
        return (f"  {where}: {given[0].strip()}", *given[1:])
    return (f"{where}: {given[0]}", *given[1:]) if name == "working_on" else given


def _tail(path: Path) -> str:
    try:
        return " ".join(path.read_text(errors="replace").split())[-300:]
    except OSError:
        return ""
