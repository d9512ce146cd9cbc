"""How long what is left of an experiment takes, and how well that is known.

First guesses come from the file alone (pace.py). What earlier runs took replaces them, or scales those of cases that
are new since; and what this run has taken scales what is left: by the ratio of taken to expected of the same work, else
of its kind. Where a first guess is worth nothing and nothing like it was measured, work counts with the least that it
can take, and of the whole a least is known.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from benchbook.plan.case import Case
from benchbook.plan.order import Block, Repeat
from benchbook.plan.pace import Pace
from benchbook.plan.workload import Workload
from benchbook.terms.estimate import Estimate

STOP_S = 2.0  # of a host
REPORT_S = 3.0


@dataclass(frozen=True)
class Piece:
    """One piece of work that is timed: a start of a host, a count of experts, a repeat with or without its warm-up."""

    work: str  # 'start eager server', 'count ...' or the case's id
    kinds: tuple[str, ...]  # what may be compared where nothing of the same work was timed, the nearest first
    guess_s: float
    least_s: float
    is_worth_a_guess: bool
    is_warm: bool = False
    otherwise_s: float = 0.0  # the guess were it warm, or were it not

    @property
    def keys(self) -> tuple[tuple[str, float], tuple[str, float]]:
        """Return the key of its timings in run.json, then that of the same work otherwise, each with its guess."""
        cold, warm = self.work, f"{self.work} warm"
        own, other = (warm, cold) if self.is_warm else (cold, warm)
        return (own, self.guess_s), (other, self.otherwise_s)


@dataclass(frozen=True)
class Timings:
    """What one piece of work took (s) in an earlier run, and that run's name."""

    wall_s: Sequence[float]
    run: str


class Ratios:
    """Ratios by what they are of: what counts is their median, which one outlier does not move far."""

    def __init__(self) -> None:
        self._sorted: defaultdict[object, list[float]] = defaultdict(list)
        self._source: dict[object, str] = {}

    def add(self, ratio: float, keys: Sequence[object], source: str = "") -> None:
        """Add a ratio that is of each of `keys`, and what told it."""
        for key in keys:
            insort(self._sorted[key], ratio)
            self._source.setdefault(key, source)

    def of(self, keys: Sequence[object]) -> tuple[float, str] | None:
        """Return the median of the first of `keys` that has any, and what told the first of them."""
        for key in keys:
            if ratios := self._sorted.get(key):
                middle = len(ratios) // 2
                return (ratios[middle] + ratios[~middle]) / 2, self._source[key]
        return None


@dataclass
class Estimator:
    """What is known of durations: how fast each launch may be, and what each piece of work took in an earlier run."""

    paces: Mapping[str, Pace]
    earlier: Mapping[str, Timings] = field(default_factory=dict)
    cases: Sequence[Case] = ()  # of the experiment: those that an earlier run has measured tell of the others
    to_count: Mapping[str, str] = field(default_factory=dict)  # by launch: whose experts are counted before its start
    asking: Collection[str] = ()  # cases whose load is sent once more after its first repeat, beside a guard's items
    at_once: int = 1  # blocks: the time left is that of all of them, divided
    _earlier_ratios: Ratios = field(default_factory=Ratios)  # taken to guessed, by kind
    # Taken in this run to expected before it: by work, and by kind where an earlier run told it or only a first guess.
    _ratios: Ratios = field(default_factory=Ratios)
    _repeats: dict[tuple[Case, bool], Piece] = field(default_factory=dict)  # asked for again and again

    def __post_init__(self) -> None:
        for piece in (self._repeat(case, False) for case in self.cases):
            if timed := self._timed(piece):
                self._earlier_ratios.add(timed[0] / piece.guess_s, piece.kinds, timed[1])

    def estimate(self, blocks: Sequence[Block], warmed: Collection[str] | None = None) -> Estimate:
        """Return how long the starts and repeats of `blocks` and the report take.

        With `warmed`, the shapes that its host is warm for, the first block has started: its first repeat is under way.
        """
        expected = [self.expected(piece) for piece in self.pieces(blocks, warmed)]
        if not expected:
            return Estimate(REPORT_S, 0.0)
        at_once = min(self.at_once, len(blocks)) or 1
        seconds = (sum(each_s for each_s, _ in expected) + STOP_S * len(blocks)) / at_once + REPORT_S
        sources = tuple(dict.fromkeys(source for _, source in expected))
        return Estimate(seconds, seconds - expected[0][0] / at_once, "" not in sources, sources)

    def once_more(self, blocks: Sequence[Block]) -> Estimate:
        """Return how long the repeats of `blocks` take once more, each at once on its host, which is warm for it."""
        expected = [self.expected(self._repeat(repeat.case, True)) for block in blocks for repeat in block.repeats]
        sources = tuple(dict.fromkeys(source for _, source in expected))
        return Estimate(sum(each_s for each_s, _ in expected), 0.0, "" not in sources, sources)

    def start_took(self, block: Block, wall_s: float) -> str:
        """Learn how long the start of a block's host took; return the key to note it under."""
        return self._took(self._start(block), wall_s)

    def counted(self, launch: str, wall_s: float) -> str:
        """Learn that the experts of a launch's model are known by now; return the key to note the time under.

        '' where nothing had to be counted.
        """
        key = self.to_count.get(launch, "")
        self.to_count = {name: other for name, other in self.to_count.items() if other != key}
        return key if wall_s else ""

    def repeat_took(self, repeat: Repeat, is_warm: bool, wall_s: float) -> str:
        """Learn how long a repeat took, on a host that was warm for it or not; return the key to note it under."""
        return self._took(self._repeat(repeat.case, is_warm), wall_s)

    def _took(self, piece: Piece, wall_s: float) -> str:
        told_s, _ = self._told(piece) or (None, "")
        self._ratios.add(wall_s / (told_s or piece.guess_s), [piece.work])
        self._ratios.add(wall_s / piece.guess_s, [(kind, False) for kind in piece.kinds])
        if told_s:
            own_kind = (piece.kinds[0], True)
            if self._ratios.of([own_kind]) is None:
                self._ratios.add(
                    1.0, [own_kind]
                )  # what an earlier run told counts as one, so that no first one undoes it
            self._ratios.add(wall_s / told_s, [own_kind])
        return piece.keys[0][0]

    def expected(self, piece: Piece) -> tuple[float, str]:
        """Return the expected duration (s) of `piece` and what tells it, '' where that is only the least it takes."""
        told = self._told(piece)
        before_s, source = told or (piece.guess_s, "a first guess" if piece.is_worth_a_guess else "")
        if scale := self._ratios.of([piece.work, *((kind, told is not None) for kind in piece.kinds)]):
            before_s, source = before_s * scale[0], "by what this run has measured"
        return max(before_s, piece.least_s) if source else piece.least_s, source

    def _told(self, piece: Piece) -> tuple[float, str] | None:
        """Return what earlier runs tell (s) of `piece`, and which: by its own time, else by those of its kind."""
        if timed := self._timed(piece):
            return timed
        scale = self._earlier_ratios.of(piece.kinds)
        return (piece.guess_s * scale[0], scale[1]) if scale else None

    def _timed(self, piece: Piece) -> tuple[float, str] | None:
        """Return what `piece` took (s) in an earlier run, and which; if need be by the time with or without warm-up."""
        for key, guess_s in piece.keys:
            if key in self.earlier:
                told = self.earlier[key]
                return median(told.wall_s) * piece.guess_s / guess_s, f"by run {told.run}"
        return None

    def pieces(self, blocks: Sequence[Block], warmed: Collection[str] | None) -> Iterator[Piece]:
        """Yield what `estimate` adds up, in order."""
        counted: set[str] = set()
        for block in blocks:
            if warmed is None:
                if (key := self.to_count.get(block.launch, "")) and key not in counted:
                    counted.add(key)
                    yield self._counting(key, block.launch)
                yield self._start(block)
            shapes, warmed = set(warmed or ()), None
            for repeat in block.repeats:
                shape = repeat.case.warm_shape
                yield self._repeat(repeat.case, shape in shapes)
                shapes.add(shape)
                if repeat.number == 0 and repeat.case.case_id in self.asking:
                    yield self._repeat(repeat.case, True)

    def _start(self, block: Block) -> Piece:
        pace, kind = self.paces[block.launch], f"start {block.host_kind}"
        work, guess_s = f"start {block.launch} {block.host_kind}", pace.start_s(block.host_kind)
        return Piece(work, (kind, "start"), guess_s, pace.least_start_s, pace.is_worth_a_guess)

    def _counting(self, key: str, launch: str) -> Piece:
        """Return the start, an eager one, on which the experts of the launch's model are counted."""
        pace = replace(self.paces[launch], is_eager=True)
        return Piece(key, ("count", "start"), pace.start_s("engine"), pace.least_start_s, pace.is_worth_a_guess)

    def _repeat(self, case: Case, is_warm: bool) -> Piece:
        if (case, is_warm) not in self._repeats:
            self._repeats[case, is_warm] = self._new_repeat(case, is_warm)
        return self._repeats[case, is_warm]

    def _new_repeat(self, case: Case, is_warm: bool) -> Piece:
        workload, pace = case.workload, self.paces[case.launch]
        fixed_s = pace.overheads.repeat_s(workload)
        return Piece(
            work=case.case_id,
            kinds=_kinds(workload),
            guess_s=fixed_s + workload.work_s(is_warm, pace.batch_s),
            least_s=max(workload.sending_s, pace.least_s(workload, is_warm)),
            is_worth_a_guess=pace.is_worth_a_guess,
            is_warm=is_warm,
            otherwise_s=fixed_s + workload.work_s(not is_warm, pace.batch_s),
        )


def _kinds(workload: Workload) -> tuple[str, ...]:
    """Return the benchmark, and 'repeat' where it is work enough to tell of others.

    An open loop, whose time is that of its rate, tells nothing of a closed one.
    """
    if not workload.row.is_load:
        return (workload.benchmark,)
    return (f"{workload.benchmark} at a rate" if workload.sending_s else workload.benchmark, "repeat")
