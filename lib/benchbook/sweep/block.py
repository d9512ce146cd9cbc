"""One block: a start of one host, and the repeats that share it, retried, measured again or given up. What executors run.

A block needs its plan and its run's folder, and knows nothing of the run around it: other blocks, run.json, how long it
all takes. It tells a listener how it goes on; what became of it is a BlockResult, and the records are in the store.
Block, Work and BlockResult can be pickled, and two blocks write no file in common but their launch's logs: they may run
in any process that sees the run's folder.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbook.judge.outside import disturbed_by
from benchbook.plan.order import Block, Repeat
from benchbook.records.handover import SentRequests
from benchbook.records.record import Identity, Record
from benchbook.sweep.again import Again, for_this_try
from benchbook.sweep.asked import still_wanted
from benchbook.sweep.block_result import MAX_ATTEMPTS, Attempt, BlockListener, BlockResult, GivenUp, Start, Work
from benchbook.sweep.hosts import BenchHost, OpenHost
from benchbook.sweep.interrupts import was_halted_since
from benchbook.sweep.planning import maximum_of
from benchbook.sweep.repeat import host_failed, run_repeat
from benchbook.terms.errors import HostDiedError, HostError, HostStartError

MAX_HOST_STARTS = 3  # a host that keeps dying is given up; the repeats left become records that say so

RunRepeat = Callable[..., Record]  # as `run_repeat`


def run_block(
    block: Block,
    work: Work,
    open_host: OpenHost,
    listener: BlockListener,
    *,
    again: Again | None = None,
    run_repeat: RunRepeat = run_repeat,
) -> BlockResult:
    """Measure the repeats of one block on one host; a host that dies is started again for those left, so often.

    One that is killed while it starts is started once more: what did that, another's memory, may be gone. `again` is
    handed from block to block where they run in turn: what it knows of the machine is true of the next one too.
    """
    again = again or Again(work.plan.experiment.again, listener)
    return _UnderWay(BlockResult(block), work, listener, again, run_repeat).execute(open_host)


def give_up(block: Block, work: Work, listener: BlockListener, why: GivenUp, tried_s: float = 0.0) -> BlockResult:
    """Return what becomes of a block whose host is not started (again): a record of each repeat that says why.

    The first one's has how long (s) starts were tried in vain.
    """
    for number, repeat in enumerate(block.repeats):
        folder, identity = _place(repeat, work)
        lost_s = 0.0 if number else tried_s
        record = host_failed(repeat, folder, identity, why.cause, why.log_tail, lost_s)
        listener.recorded(record, lost_s, work.store.log_of(record))
    return BlockResult(block, given_up=why)


@dataclass
class _UnderWay:
    """A block while it is measured."""

    result: BlockResult
    work: Work
    listener: BlockListener
    again: Again
    run_repeat: RunRepeat

    def execute(self, open_host: OpenHost) -> BlockResult:
        block, experiment = self.result.block, self.work.plan.experiment
        queue, failures = deque(block.repeats), Counter[Repeat]()
        launch, host_text = experiment.launch(block.launch), f"the {block.host_kind} of launch {block.launch!r}"
        error: HostError | None = None
        tried_s = 0.0  # in starts that failed
        for _ in range(MAX_HOST_STARTS):
            if not self._is_left(queue):
                return self.result
            began_s = time.monotonic()
            self._going_on(queue)
            self.listener.working_on(f"{'attaching to' if launch.attached else 'starting'} {host_text}")
            try:
                with open_host(launch, block.host_kind, self.work.store, experiment.limits.ready_s) as host:
                    self._note_start(host, began_s)
                    self.listener.say(f"  {host_text} is ready after {time.monotonic() - began_s:.1f} s")
                    self._drain(queue, host, failures)
                    while more := self.listener.more(block):
                        queue.extend(more)
                        self._drain(queue, host, failures)
                return self.result
            except HostDiedError as died:
                error = died
                self.listener.say(f"  {host_text} died: {died.cause.code}")
                if not queue:
                    return self.result  # with its last repeat, which was tried often enough: nothing to start it for
            except HostError as failed:
                was_killed_before, error = isinstance(error, HostStartError), failed
                tried_s += time.monotonic() - began_s
                if failed.cause.code != "killed_by_signal" or was_killed_before:
                    break  # what could not start once will not start the next time either
                self.listener.say(f"  {host_text} was killed while it started")
        left = replace(block, repeats=tuple(queue))
        given_up = give_up(left, self.work, self.listener, GivenUp.of(error), tried_s).given_up
        return replace(self.result, given_up=given_up)

    def _drain(self, queue: deque[Repeat], host: BenchHost, failures: Counter[Repeat]) -> None:
        """Measure `queue` until it is empty; raise HostDiedError, the repeat still queued, when the host is gone.

        A repeat that was disturbed is measured again at once, in its place; one that failed, so often as `failures` tells.
        """
        tries: Counter[Repeat] = Counter()  # on this host
        while self._is_left(queue):
            repeat = queue[0]
            launch = self.work.plan.experiment.launch(repeat.case.launch)
            host.mend()
            self._going_on(queue, host.warmed)
            record = self._attempt(for_this_try(repeat, launch, host, tries[repeat]), host)
            tries[repeat] += 1
            if record.is_measured:
                if disturbed_by(record):
                    self._going_on(queue, host.warmed)  # it may not be done, and the wait is long
                if not self.again.is_wanted(record, launch):
                    queue.popleft()
                continue
            failures[repeat] += 1
            if failures[repeat] >= MAX_ATTEMPTS:
                queue.popleft()
            else:
                self.listener.say(f"  trying {repeat.case.case_id} repeat {repeat.number} once more")
            host.check_alive()

    def _is_left(self, queue: deque[Repeat]) -> bool:
        """Return whether anything is left of `queue`, without what somebody has asked meanwhile to leave out."""
        wanted = still_wanted(replace(self.result.block, repeats=tuple(queue)), self.work).repeats
        if len(wanted) < len(queue):
            if not self.work.store.control.is_stopping:
                cases = dict.fromkeys(repeat.case.case_id for repeat in queue if repeat not in wanted)
                self.listener.say(f"  skipped from now on, as asked: {'; '.join(cases)}")
            queue.clear()
            queue.extend(wanted)
        return bool(queue)

    def _attempt(self, repeat: Repeat, host: BenchHost) -> Record:
        began_s, is_warm = time.monotonic(), repeat.case.warm_shape in host.warmed
        self.listener.working_on(f"{repeat.case.case_id} repeat {repeat.number}")
        folder, identity = _place(repeat, self.work)
        sent = self.work.plan.sent(repeat, folder)
        more: dict[str, SentRequests | float | None] = {"sent": sent} if sent else {}
        if (planned := self.work.plan.cases[repeat.case.case_id]).maximum:
            more["maximum_rps"] = maximum_of(self.work.store, planned)
        if items := self.work.plan.items(repeat, self.work.store, folder):
            more["guard"] = items
        record = self.run_repeat(repeat, host, folder, identity, self.work.plan.experiment.limits, **more)
        wall_s = time.monotonic() - began_s
        asking_s = record.guard.took_s if record.guard else 0.0  # once, and no part of what further repeats take
        known_s = None if was_halted_since(began_s) else wall_s - asking_s
        attempt = Attempt(repeat, identity.attempt, record.is_measured, is_warm, known_s)
        self._note(attempts=(*self.result.attempts, attempt))
        self.listener.recorded(record, wall_s, self.work.store.log_of(record))
        return record

    def _note_start(self, host: BenchHost, began_s: float) -> None:
        counting_s = host.facts.counting_s or 0.0
        # What a process that was halted waited for went on, and may have ended long ago.
        times = (None, None) if was_halted_since(began_s) else (time.monotonic() - began_s - counting_s, counting_s)
        self._note(starts=(*self.result.starts, Start(host.facts, *times)))

    def _note(self, **changes: Any) -> None:
        self.result = replace(self.result, **changes)
        self.listener.noted(self.result)

    def _going_on(self, queue: deque[Repeat], warmed: Collection[str] | None = None) -> None:
        self.listener.going_on(replace(self.result.block, repeats=tuple(queue)), warmed)


def _place(repeat: Repeat, work: Work) -> tuple[Path, Identity]:
    """Return where the next attempt at `repeat` goes, after moving an earlier one aside, and its identity."""
    store, plan = work.store, work.plan
    store.check_there()  # else a folder deleted meanwhile would be made anew, without what was measured
    planned = plan.cases[repeat.case.case_id]
    attempt = store.set_aside(planned.key, repeat.number)
    earlier = map(disturbed_by, store.earlier_attempts(planned.key, repeat.number))
    identity = Identity(
        experiment=plan.experiment.name,
        run_id=store.run_id,
        launch=repeat.case.launch,
        case_id=repeat.case.case_id,
        fingerprint=planned.fingerprint,
        fingerprint_parts=planned.parts,
        repeat=repeat.number,
        attempt=attempt,
        disturbed=tuple(filter(None, earlier)),
    )
    return store.repeat_dir(planned.key, repeat.number), identity
