"""What neighbours cost: one launch alone against the same with neighbours, in turns, before a run that has several at once.

All places start the experiment's first launch and measure the heaviest case of its first benchmark, once to get warm.
Then comes pair after pair, one of which is measured alone, at another place each time, and one while all measure. The
hosts are there all the while, so that nothing of a start is in it. What is measured so is no record of the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait

from benchbook.hosts.machine.places import Place
from benchbook.judge.headlines import headline_of
from benchbook.judge.stats import CONFIDENCE, paired_ratio, quantile
from benchbook.plan.case import Case
from benchbook.plan.order import Block, Repeat, repeat_seed
from benchbook.plan.trial import LEAST_PAIRS, MOST_PAIRS, tried_case
from benchbook.records.host import Neighbours, PlaceFacts
from benchbook.records.store import Store
from benchbook.sweep.block_result import BlockListener, Work
from benchbook.sweep.place_process import PlaceProcess
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import counted


def measure_neighbours(
    there: Sequence[PlaceProcess],
    work: Work,
    listener: BlockListener,
    limit: float,
    facts_of: Callable[[Place], PlaceFacts],
) -> Neighbours:
    """Return what neighbours cost, measured at `there`, which are all idle; or why that is not known."""
    experiment = work.plan.experiment
    case = tried_case(experiment)
    if case is None or case.maximum:
        return Neighbours(limit=limit, why_not="no case of the experiment can be tried for what neighbours cost")
    listener.say(f"First, what neighbours cost: {case.case_id}, alone and at {len(there)} places at once, in turns")
    plan = replace(work.plan, experiment=replace(experiment, again=0))
    trial = _Trial(case, experiment.seed, there, listener)
    for process in there:
        place_work = Work(plan, work.store.at(process.place.number, is_trial=True))
        block = Block(case.launch, case.workload.host_kind, (trial.next_repeat(),))
        process.begin(block, place_work, facts_of(process.place))
    return trial.found(limit)


def kept_finding(store: Store, beside: int, limit: float) -> Neighbours | None:
    """Return what the run has found out about neighbours before it was interrupted, of so many; None where it has not."""
    for launch in store.header().launches.values():
        for host in launch.hosts:
            found = host.place.neighbours if host.place else Neighbours()
            if found.cost is not None and (found.beside, found.limit) == (beside, limit):
                return found
    return None


def said(found: Neighbours) -> str:
    """Return 'neighbours cost 0.3 % [-0.2, 0.8] of output_throughput_tok_s, by 4 pairs ...', or why nobody knows."""
    if not found.cost_text:
        return f"what neighbours cost is not known: {found.why_not}"
    pairs = f"by {counted(found.pairs, 'pair')} alone and with neighbours"
    return f"neighbours cost {found.cost_text}, {pairs}; allowed are {100 * found.limit:g} %"


@dataclass
class _Trial:
    """The trial under way: places that wait are told whose turn it is."""

    case: Case
    seed: int
    there: Sequence[PlaceProcess]
    listener: BlockListener
    values: dict[int, float | None] = field(default_factory=dict)  # of the metric as measured last, by place
    _number: int = 0

    @property
    def metric(self) -> str:
        """The headline: what neighbours cost an open loop is time, since its rate is what arrives."""
        return headline_of(self.case.workload.benchmark, self.case.workload.load)

    def next_repeat(self) -> Repeat:
        """Return one more repeat, with requests of its own."""
        number, self._number = self._number, self._number + 1
        seed = repeat_seed(self.seed, f"{self.case.axes_text} alone and with neighbours", number)
        return Repeat(self.case, number, self.case.workload.host_kind, seed)

    def found(self, limit: float) -> Neighbours:
        """Return what the pairs tell, once that is on one side of `limit`, or after the last of them."""
        metric = BY_KEY[self.metric]
        facts = {"beside": len(self.there) - 1, "metric": metric.key, "case_id": self.case.case_id, "limit": limit}
        known = Neighbours(**facts, why_not="measuring it failed; the logs of launches tell why")
        pairs: list[tuple[float, float]] = []
        self._turn([])  # the repeats that they have begun with, by which all get warm
        while len(pairs) < MOST_PAIRS and (pair := self._pair(len(pairs))):
            pairs.append(pair if metric.higher_is_better else pair[::-1])
            if len(pairs) >= LEAST_PAIRS:
                known = Neighbours(**facts, **cost_of(pairs))
                if _is_settled(known, limit):
                    break
        self._end()
        return known

    def _pair(self, number: int) -> tuple[float, float] | None:
        """Return what the place whose turn it is measured alone and with neighbours; None where one of them failed."""
        own, found = self.there[number % len(self.there)], {}
        if not all(process.block for process in self.there):
            return None
        for is_alone in (True, False) if number % 2 == 0 else (False, True):
            self.listener.working_on(f"what neighbours cost, pair {number + 1}, {'alone' if is_alone else 'together'}")
            self._turn([own] if is_alone else self.there)
            found[is_alone] = self.values.get(own.place.number)
            if not found[is_alone] or any(process.block is None for process in self.there):
                return None
        return found[True], found[False]

    def _turn(self, some: Sequence[PlaceProcess]) -> None:
        """Have `some` measure at once, and return when all places wait again or are gone."""
        self.values.clear()
        for process in some:
            if process.is_asking:  # else it was lost, or has given up its host
                process.answer([self.next_repeat()])
        while busy := [process for process in self.there if process.block and not process.is_asking]:
            heard = wait([process.pipe for process in busy])
            for process in busy:
                if process.pipe in heard:
                    self._hear(process)

    def _end(self) -> None:
        """Have all blocks end, with their hosts."""
        for process in self.there:
            if process.is_asking:
                process.answer([])
        self._turn([])

    def _hear(self, process: PlaceProcess) -> None:
        try:
            name, given = process.hear()
        except EOFError:
            process.block = None
            return
        if name == "recorded":
            record = given[0]
            self.values[process.place.number] = record.values.get(self.metric)


def _is_settled(known: Neighbours, limit: float) -> bool:
    """Return whether the cost is on one side of `limit`, or by its spread would not be after the last pair either."""
    if known.high <= limit or known.low > limit:
        return True
    first, last = (quantile(0.5 + CONFIDENCE / 2, pairs - 1) / math.sqrt(pairs) for pairs in (known.pairs, MOST_PAIRS))
    half = (known.high - known.low) / 2 * last / first
    return known.cost - half <= limit < known.cost + half


def cost_of(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return cost and interval, as shares, of pairs of rates: alone, with neighbours. Above 0 neighbours cost."""
    ratio = paired_ratio(*zip(*pairs, strict=True))
    low, high = ratio.interval() or (0.0, 2.0)  # nothing is known
    return {"pairs": len(pairs), "cost": 1 - ratio.ratio, "low": 1 - high, "high": 1 - low}
