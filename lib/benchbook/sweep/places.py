"""Several blocks at once on this machine, each at a place of its own: an executor.

Which place a block runs at follows from its launch and its round alone. L launches have L places for L rounds, then the next
L: launch i of round r is at place i + r of them, counted round. Over L rounds each launch is at each of them once, a Latin
square, so no card or core stands for a launch. With fewer places than launches a square is as large as there are places. A
run that is continued comes to the same places. What neighbours cost is measured before.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait

from benchbook.hosts.machine.places import Place
from benchbook.plan.order import Block
from benchbook.plan.place import Placing
from benchbook.records.host import Neighbours, PlaceFacts
from benchbook.sweep.block import give_up
from benchbook.sweep.block_result import BlockListener, BlockResult, GivenUp, Work, told_from
from benchbook.sweep.neighbours import kept_finding, measure_neighbours, said
from benchbook.sweep.place_process import DONE, MORE, PlaceProcess, Setting
from benchbook.sweep.placing import place_in_round
from benchbook.sweep.planning import pending
from benchbook.sweep.waiting import Waiting
from benchbook.terms.errors import Cause

MAX_LOSSES = 2  # a block whose process is lost runs again, so often


def place_number(block: Block, launches: Sequence[str], number_of: int) -> int:
    """Return the place of a block among `number_of`."""
    return place_in_round(launches.index(block.launch), block.repeats[0].number, len(launches), number_of)


@dataclass
class Places:
    """At the places of this machine, a process each."""

    places: Sequence[Place]
    placing: Placing
    setting: Setting
    neighbours: Neighbours | None = None  # once it is known what they cost
    _losses: dict[Block, int] = field(default_factory=dict)

    def run(self, blocks: Waiting, work: Work, listener: BlockListener) -> Generator[BlockResult]:
        """Yield what became of each block, as they end."""
        if not blocks.left:
            return
        with self._processes() as there:
            self._meet_neighbours(there, work, listener)
            while True:
                self._hand_out(blocks, there, work)
                busy = [process for process in there if process.block]
                if not busy:
                    return
                heard = wait([process.pipe for process in busy])
                for process in busy:
                    if process.pipe in heard:
                        yield from self._hear(process, blocks, work, listener)

    @property
    def _at_once(self) -> int:
        cost = self.neighbours.cost if self.neighbours else None
        is_slow = cost is not None and cost > self.placing.limit
        return 1 if is_slow and self.placing.runs_alone else len(self.places)

    @contextmanager
    def _processes(self) -> Iterator[list[PlaceProcess]]:
        there = [PlaceProcess(place, self.setting) for place in self.places]
        try:
            yield there
        finally:
            for process in there:
                process.end()
            for process in there:
                process.stop()

    def _meet_neighbours(self, there: Sequence[PlaceProcess], work: Work, listener: BlockListener) -> None:
        """Have it known, and said, what neighbours cost, unless this run knows it."""
        if self.neighbours is None and len(there) > 1:
            self.neighbours = kept_finding(work.store, len(there) - 1, self.placing.limit)
            if self.neighbours is None:
                self.neighbours = measure_neighbours(there, work, listener, self.placing.limit, self._facts)
            listener.say(f"  {said(self.neighbours)}")
            if self._at_once == 1:
                listener.say("  that is more than is allowed: one block runs at a time")

    def _hand_out(self, blocks: Waiting, there: Sequence[PlaceProcess], work: Work) -> None:
        """Have the next blocks begin whose places are free, no more than may run at once."""
        names = [launch.name for launch in work.plan.experiment.launches]

        def place_of(block: Block) -> PlaceProcess:
            return there[place_number(block, names, len(there))]

        def fits(block: Block) -> bool:
            return place_of(block).block is None and not waits_for_maximum(
                block, [*self._under_way(there), *blocks.left]
            )

        while len(self._under_way(there)) < self._at_once and (block := blocks.take(fits)):
            self._begin(place_of(block), block, blocks, work)

    def _under_way(self, there: Sequence[PlaceProcess]) -> list[Block]:
        return [process.block for process in there if process.block]

    def _begin(self, process: PlaceProcess, block: Block, blocks: Waiting, work: Work) -> None:
        number = process.place.number
        blocks.elsewhere[number] = block
        facts = self._facts(process.place)
        process.begin(block, replace(work, store=work.store.at(number)), facts)

    def _facts(self, place: Place) -> PlaceFacts:
        cards = tuple(card.place or card.names[-1] for card in place.cards)
        known = {"neighbours": self.neighbours} if self.neighbours else {}
        return PlaceFacts(number=place.number, at_once=self._at_once, cores=place.cores_text, cards=cards, **known)

    def _hear(
        self, process: PlaceProcess, blocks: Waiting, work: Work, listener: BlockListener
    ) -> Iterator[BlockResult]:
        """Take one message of a place; yield the result where it is one."""
        number, block = process.place.number, process.block
        try:
            name, given = process.hear()
        except EOFError:
            yield from self._lost(process, block, blocks, work, listener)
            return
        if name == DONE:
            del blocks.elsewhere[number]
            yield given[0]
        elif name == MORE:
            process.answer(listener.more(*given))
        else:
            if name == "going_on":
                blocks.elsewhere[number] = given[0]
            getattr(listener, name)(*told_from(f"place {number}", name, given))

    def _lost(
        self, process: PlaceProcess, block: Block, blocks: Waiting, work: Work, listener: BlockListener
    ) -> Iterator[BlockResult]:
        """Have what is left of the block of a process that has gone run again; yield its result where that is in vain."""
        del blocks.elsewhere[process.place.number]
        process.block = None
        left = pending([block], work.store, work.plan)
        self._losses[block] = losses = self._losses.get(block, 0) + 1
        cause = Cause("place_lost", f"the process of {process.place} ended", "look for what killed it (dmesg)")
        listener.say(f"  {cause.evidence}")
        if left and losses <= MAX_LOSSES:
            self._losses[left[0]] = losses
            self._begin(process, left[0], blocks, work)
        elif left:
            yield give_up(left[0], work, listener, GivenUp(cause, ""))
        else:
            yield BlockResult(block)


def waits_for_maximum(block: Block, others: Sequence[Block]) -> bool:
    """Return whether a rate of `block` is a share of what another block is still to measure."""
    maxima = {repeat.case.maximum for repeat in block.repeats} - {""}
    measured = {repeat.case.case_id for repeat in block.repeats if repeat.number == 0}
    told = {each.case.case_id for other in others if other is not block for each in other.repeats if each.number == 0}
    return bool((maxima - measured) & told)
