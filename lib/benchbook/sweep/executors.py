"""Where blocks run. An executor is given blocks and yields what became of each; here it is this machine, in turn.

Several at once, on parts of this machine, are in places.py.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from benchbook.plan.order import Block
from benchbook.sweep.again import Again, Look
from benchbook.sweep.block import RunRepeat, run_block
from benchbook.sweep.block_result import BlockListener, BlockResult, Work
from benchbook.sweep.hosts import OpenHost
from benchbook.sweep.quiet import disturbance
from benchbook.sweep.repeat import run_repeat
from benchbook.sweep.waiting import Waiting


class Executor(Protocol):
    """Runs blocks. It takes a block off `blocks` when it begins it, in their order or the next that fits a free place.

    What it tells `listener` while a block runs is for whoever watches, and for a run that is interrupted; all that
    counts is in the result.
    """

    def run(self, blocks: Waiting, work: Work, listener: BlockListener) -> Generator[BlockResult]:
        """Run each block with `run_block` and yield its result; return when all are done.

        Whatever is under way elsewhere ends when the generator is closed.
        """


@dataclass
class Local:
    """On this machine, in this process, one block after the other: each has the machine to itself."""

    open_host: OpenHost
    run_repeat: RunRepeat = run_repeat
    look: Look = disturbance
    _again: Again | None = None  # of the run: a machine that stays busy costs one wait, and not one a block

    def run(self, blocks: Iterable[Block], work: Work, listener: BlockListener) -> Generator[BlockResult]:
        """Yield what became of each block, in order."""
        self._again = self._again or Again(work.plan.experiment.again, listener, self.look)
        for block in blocks:
            yield run_block(block, work, self.open_host, listener, again=self._again, run_repeat=self.run_repeat)
