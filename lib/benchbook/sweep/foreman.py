"""The foreman: whom blocks report to. Tells people, has it noted in run.json, and asks the proposers for more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbook.plan.order import Block, Repeat
from benchbook.records.record import Record
from benchbook.sweep.asked import asked_again, still_wanted
from benchbook.sweep.block_result import BlockResult
from benchbook.sweep.ledger import Ledger
from benchbook.sweep.progress import Listener
from benchbook.sweep.proposers import Proposer
from benchbook.sweep.waiting import Waiting
from benchbook.terms.benchmarks import HOST_KINDS, HostKind


@dataclass
class Foreman:
    """The BlockListener of a run: it knows the other blocks."""

    listener: Listener
    ledger: Ledger
    proposers: Sequence[Proposer]
    is_whole: bool  # every case is asked for; else nothing is proposed: what is, is for all that a run compares
    waiting: Waiting = field(default_factory=Waiting)
    ahead: Sequence[Block] = ()  # what is likely proposed after that

    def say(self, text: str) -> None:
        """Pass on a line that stays."""
        self.listener.say(text)

    def working_on(self, what: str, at_most_s: float | None = None) -> None:
        """Pass on what is being done now."""
        self.listener.working_on(what, at_most_s)

    def recorded(self, record: Record, wall_s: float, log: Path | None) -> None:
        """Pass on one more record."""
        self.listener.recorded(record, wall_s, log)

    def noted(self, so_far: BlockResult) -> None:
        """Have noted what is new of a block."""
        self.ledger.take_in(so_far)

    def going_on(self, rest: Block, warmed: Collection[str] | None) -> None:
        """Tell how long the rest of a block and all that wait take; with `warmed`, its host is there already."""
        others = [block for block in self.waiting.elsewhere.values() if block is not rest]
        waiting = [block for block in self.waiting.left if not self.ledger.given_up(block)]
        wanted = [still_wanted(block, self.ledger.work) for block in (*others, *waiting)]
        left = (rest, *(block for block in wanted if block.repeats), *self.ahead)
        self.listener.left(self.ledger.estimator.estimate(left, warmed))

    def more(self, block: Block) -> tuple[Repeat, ...]:
        """Return the repeats of what is proposed next for the host of `block`; none where that takes a fresh start."""
        going_on = [proposer for proposer in self.proposers if proposer.goes_on(block)]
        blocks = self._proposed(going_on, block.host_kind, block.launch)
        return tuple(repeat for proposed in blocks for repeat in proposed.repeats)

    def proposed(self, host_kind: HostKind) -> tuple[Block, ...]:
        """Return what is asked for once more, else what is proposed next for this kind of host; () when nothing is."""
        return self._asked_again(host_kind) or self._proposed(self.proposers, host_kind)

    @property
    def _is_stopping(self) -> bool:
        return self.ledger.work.store.control.is_stopping

    def _asked_again(self, host_kind: HostKind) -> tuple[Block, ...]:
        blocks = () if self._is_stopping else asked_again(host_kind, self.ledger.work)
        if blocks:
            self.ledger.start_anew(blocks)
            cases = dict.fromkeys(repeat.case.case_id for block in blocks for repeat in block.repeats)
            self.listener.say(f"  tried again, as asked: {'; '.join(cases)}")
        return blocks

    def _proposed(self, proposers: Sequence[Proposer], host_kind: HostKind, launch: str = "") -> tuple[Block, ...]:
        for proposer in proposers if self.is_whole and not self._is_stopping else ():
            proposal = proposer.next(host_kind, tuple(self.ledger.results.values()))
            self.ledger.plan_repeats(proposal.repeats)
            self.ahead = proposal.ahead
            if blocks := tuple(block for block in proposal.blocks if not launch or block.launch == launch):
                self.ledger.note()
                number = sum(len(block.repeats) for block in blocks)
                self.listener.more(number, proposal.why)
                return blocks
        return ()

    def lacks_something(self) -> bool:
        """Return whether a proposer wants more, which was not asked for or is skipped; tell which skipped cases."""
        results = tuple(self.ledger.results.values())
        found = [proposer.next(kind, results) for kind in HOST_KINDS for proposer in self.proposers]
        if skipped := dict.fromkeys(case_id for proposal in found for case_id in proposal.skipped):
            self.listener.say(f"A search waits for what was skipped: {'; '.join(skipped)}")
        return any(proposal.blocks or proposal.skipped for proposal in found)

    def note_reached(self) -> None:
        """Have noted how well each target is known in the end."""
        reached = {}
        for proposer in self.proposers:
            reached |= proposer.reached()
        self.ledger.note(reached=reached)
