"""Is the capacity that `find` answers the true one? Loads of a known truth, searched many times. Prints rates as JSON.

    python lib/proofs/capacity.py                    # 300 curves of each kind, each searched three times: five minutes
    python lib/proofs/capacity.py --times 2000 --seed 1

The numbers are synthetic input with a known truth: none was measured. Kinds of curves over the load, each search with
another capacity, steepness and spread:
- smooth: latency rises with load, repeats vary by 1 to 15 %; also with starts that vary, each repeat on a start of its own;
- queue: an open loop before k servers, each request simulated (M/G/k with log-normal service), p90 of 300 requests: each
  repeat is one of 200 that were simulated of its rate;
- cliff: from one load to the next, latency is several times as long;
- bump: a range of loads fails, wider than a doubling, and higher ones hold again;
- drift: the machine slows down by 5 to 15 % while it is searched; the truth is that of the middle of the measurements;
- tails: repeats vary as Student's t with 3 degrees does, now and then by much more than usual;
- share: the share of requests within a limit, of which most loads have all;
- saturation: the load from which twice as much adds less than 10 % throughput.

Asked are: how often lies the truth between the load that holds and the one that fails (of a bump: either edge), how many
decisions are wrong, and what share of the time of a grid that answers as narrowly was measured.

That grid. Every load of a ladder of one ratio is measured equally often, and decided once, by the same test at the same
error; its answer lies between the highest load that holds below the first that fails, and that one. Which ratio and how
many repeats is chosen in hindsight for each curve: the least time by which its answers are, on average of three draws, no
wider than those of three searches of that very curve. (A grid with loads as far apart as the ends of a search, which
stood here before, answers less narrowly than that search: one of its loads often lies too near the limit to be decided.)
Nobody who writes a grid knows the curve and the spread; `time_of_the_grid` is so the most that a search takes of one.
It is the time of all searches by that of all their grids; `mean_of_shares` gives each curve the same weight.

What cannot be had: a quarter of a grid of ten loads. A search has to measure its two ends as often as the grid measures
each load, and of saturation an end is two loads, itself and its double. Of doublings from 1 to 512 that alone is three to
four of ten. Where repeats of saturation vary by so much that not even doublings are told apart by few, its share
is therefore above a quarter, as `mean_of_shares` shows, however it is searched.

Exits with 1 where a limit is broken.
"""

from __future__ import annotations

import bisect
import heapq
import math
import operator
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchbook.judge.capacity import Decision, Grows, Kept, Question, Sample
from benchbook.judge.ladder import Search
from benchbook.plan.find import ladder
from false_claims import rate_of
from rated import print_rates

LIMITS = {"covered_at_least": 0.93, "wrong_decisions_at_most": 0.05, "time_of_the_grid_at_most": 0.25}
WITHIN, AT_MOST = 0.05, 8
LOADS = ladder(1, 512, WITHIN, are_whole=True)
KEY = "p99_ttft_ms"
GAIN = 0.10
SEARCHES = 3  # of each curve, and as many draws of a grid
GRID_RATIOS = (1.05, 1.1, 1.15, 1.22, 1.3, 1.41, 1.6, 2.0, 2.83, 4.0)
GRID_REPEATS = (3, 4, 6, 8, 12, 16)


@dataclass
class Bench:
    """One machine of a known truth: it measures loads, and knows which hold."""

    draw: random.Random
    margin: Callable[[int, int], float]  # of a place, at so many repeats after the first: its mean
    noise: Callable[[int], float]
    loads: tuple[float, ...] = LOADS
    question: Question = Kept((KEY,))
    has_starts: bool = False
    least_sd: float = 0.0
    measured: list[int] = field(default_factory=list)

    def sample(self, place: int) -> Sample:
        """Return one more repeat of the load at `place`."""
        self.measured.append(place)
        return self.drawn(place, len(self.measured) - 1)

    def drawn(self, place: int, time: int) -> Sample:
        """Return a repeat of the load at `place` as it is after so many."""
        start = str(time) if self.has_starts else "one"
        return Sample({KEY: self.margin(place, time) + self.noise(place)}, start, {KEY: self.least_sd})

    def holds(self, place: int) -> bool:
        """Return whether a load holds in truth, at the middle of what was measured."""
        places, middle = self.question.measured(place), len(self.measured) / 2
        low, high = (self.margin(each, middle) for each in (places[0], places[-1]))
        if len(places) == 1:
            return low < 0
        return (high - low) / math.log2(self.loads[places[1]] / self.loads[place]) > math.log1p(GAIN)

    def edges(self) -> set[int]:
        """Return the places of loads that hold in truth while the next one does not; -1 where the lowest fails."""
        places = [place for place in range(len(self.loads)) if self.question.can_ask(place)]
        truth = [True, *map(self.holds, places), False]
        return {place - 1 for place in range(len(places) + 1) if truth[place] and not truth[place + 1]}


@dataclass(frozen=True)
class Answer:
    """The ends that a search or a grid found, as places, and how many repeats it took."""

    holds: int | None
    fails: int | None
    repeats: int

    @property
    def is_whole(self) -> bool:
        """Return whether both ends were found."""
        return self.holds is not None and self.fails is not None

    def covers(self, edges: set[int], num_loads: int) -> bool:
        """Return whether one of the true edges lies between the ends."""
        low, high = -1 if self.holds is None else self.holds, num_loads if self.fails is None else self.fails
        return any(low <= edge < high for edge in edges)

    def width(self, loads: Sequence[float]) -> float:
        """Return the logarithm of how far the ends are apart; one that was not found counts as that of the ladder."""
        low, high = 0 if self.holds is None else self.holds, -1 if self.fails is None else self.fails
        return math.log(loads[high] / loads[low])


def searched(bench: Bench) -> Search:
    """Search the bench to the end, by the code that a run has for it."""
    bench.measured.clear()
    samples: dict[int, list[Sample]] = defaultdict(list)
    while (place := Search(bench.loads, bench.question, samples, AT_MOST).wanted()) is not None:
        samples[place].append(bench.sample(place))
    return Search(bench.loads, bench.question, samples, AT_MOST)


class Grid:
    """One draw of what grids would measure of a bench that does not drift: all of them the same repeats of a load."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._samples: dict[int, list[Sample]] = {}
        self._decisions: dict[tuple[int, int], Decision] = {}

    def answer(self, places: Sequence[int], repeats: int) -> Answer:
        """Return what the grid of these places answers, so many repeats of each."""
        holds = None
        for place in filter(self._bench.question.can_ask, places):
            decision = self._decided(place, repeats)
            if decision is Decision.FAILS:
                return Answer(holds, place, repeats * len(places))
            if decision is Decision.HOLDS:
                holds = place
        return Answer(holds, None, repeats * len(places))

    def _decided(self, place: int, repeats: int) -> Decision:
        if (place, repeats) not in self._decisions:
            question = self._bench.question
            samples = {each: self._measured(each)[:repeats] for each in question.measured(place)}
            self._decisions[place, repeats] = question.known(place, samples).decision
        return self._decisions[place, repeats]

    def _measured(self, place: int) -> list[Sample]:
        if place not in self._samples:
            self._samples[place] = [self._bench.drawn(place, 0) for _ in range(max(GRID_REPEATS))]
        return self._samples[place]


def cheapest_grid(bench: Bench, width: float) -> list[Answer]:
    """Return the answers of the cheapest grid of which they are no wider than `width`; of the dearest where none is."""
    draws = [Grid(bench) for _ in range(SEARCHES)]
    for places, repeats in _designs(bench.loads):
        answers = [draw.answer(places, repeats) for draw in draws]
        if statistics.fmean(answer.width(bench.loads) for answer in answers) <= width:
            break
    return answers


@cache
def _designs(loads: tuple[float, ...]) -> list[tuple[tuple[int, ...], int]]:
    """Return the grids that there are, as places and repeats of each, the cheapest first."""
    found = [(_places(loads, ratio), repeats) for ratio in GRID_RATIOS for repeats in GRID_REPEATS]
    return sorted(found, key=lambda one: len(one[0]) * one[1])


def _places(loads: tuple[float, ...], ratio: float) -> tuple[int, ...]:
    """Return the places of loads that are at most `ratio` apart, or neighbours."""
    places = [0]
    while places[-1] < len(loads) - 1:
        within = bisect.bisect_right(loads, loads[places[-1]] * ratio * (1 + 1e-6)) - 1
        places.append(max(places[-1] + 1, within))
    return tuple(places)


def main() -> int:
    """Print the rates as JSON; return 1 where one is outside its limit by more than chance explains."""
    return print_rates(__doc__, rates, LIMITS, broken)


def broken(kind: Mapping[str, Any]) -> bool:
    """Return whether a kind of curve breaks a limit by more than chance explains."""
    return (
        kind["covered"]["high"] < LIMITS["covered_at_least"]
        or kind["wrong_decisions"]["low"] > LIMITS["wrong_decisions_at_most"]
        or kind["time_of_the_grid"] > LIMITS["time_of_the_grid_at_most"]
    )


def rates(times: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return by kind of curve how often the truth lies between the ends, wrong decisions, and the time of the grid."""
    return {kind: rates_of(make, times, seed) for kind, make in KINDS.items()}


def rates_of(make: Callable[[random.Random], Bench], times: int, seed: int) -> dict[str, Any]:
    """Return the rates of so many curves of one kind, each searched SEARCHES times."""
    covered, wrong, again, of_grids = [], [], [], []
    took, grids, widths = [], [], []  # a mean for each curve of which both ends are always found
    for number in range(times):
        bench, answers = make(random.Random(f"{seed} {number}")), []
        for _ in range(SEARCHES):
            search = searched(bench)
            answers.append(Answer(search.holds, search.fails, len(bench.measured)))
            covered.append(answers[-1].covers(bench.edges(), len(bench.loads)))
            told = {place: one.decision for place, one in search.known.items() if one.decision is not Decision.OPEN}
            wrong += [bench.holds(place) is not (decision is Decision.HOLDS) for place, decision in told.items()]
            again.append(bool(search.holds_again))
        if all(answer.is_whole for answer in answers):
            bench.measured.clear()
            widths.append(statistics.fmean(answer.width(bench.loads) for answer in answers))
            grid = cheapest_grid(bench, widths[-1])
            of_grids += [answer.covers(bench.edges(), len(bench.loads)) for answer in grid]
            took.append(statistics.fmean(answer.repeats for answer in answers))
            grids.append(grid[0].repeats)
    return {
        "covered": rate_of(covered),
        "wrong_decisions": rate_of(wrong),
        "time_of_the_grid": round(sum(took) / sum(grids), 3),
        "mean_of_shares": round(statistics.fmean(map(operator.truediv, took, grids)), 3),
        "covered_by_the_grid": round(statistics.fmean(of_grids), 3),
        "mean_repeats": round(statistics.fmean(took), 1),
        "mean_width": round(math.exp(statistics.fmean(widths)), 3),
        "holds_again_said": statistics.fmean(again),
    }


def _smooth(draw: random.Random, has_starts: bool = False) -> Bench:
    capacity, steep, spread = _place(draw), draw.uniform(0.5, 4), draw.uniform(0.01, 0.15)
    return Bench(
        draw,
        lambda place, time: steep * math.log(LOADS[place] / capacity),
        lambda place: draw.gauss(0, spread),
        has_starts=has_starts,
    )


def _starts(draw: random.Random) -> Bench:
    return _smooth(draw, has_starts=True)


def _cliff(draw: random.Random) -> Bench:
    capacity, below, above, spread = _place(draw), draw.uniform(0.2, 2), draw.uniform(0.5, 3), draw.uniform(0.02, 0.2)
    return Bench(
        draw,
        lambda place, time: -below if LOADS[place] <= capacity else above,
        lambda place: draw.gauss(0, spread),
    )


def _bump(draw: random.Random) -> Bench:
    capacity, low, spread = draw.uniform(64, 256), draw.uniform(4, 20), draw.uniform(0.02, 0.1)
    high, height = low * draw.uniform(2.1, 3), draw.uniform(0.3, 1)

    def margin(place: int, time: float) -> float:
        load = LOADS[place]
        return height if low < load < high else 2 * math.log(load / capacity)

    return Bench(draw, margin, lambda place: draw.gauss(0, spread))


def _drift(draw: random.Random) -> Bench:
    capacity, steep, spread, by = _place(draw), draw.uniform(1, 4), draw.uniform(0.02, 0.1), draw.uniform(0.05, 0.15)
    return Bench(
        draw,
        lambda place, time: steep * math.log(LOADS[place] / capacity) + by * time / 50,
        lambda place: draw.gauss(0, spread),
    )


def _tails(draw: random.Random) -> Bench:
    capacity, steep, spread = _place(draw), draw.uniform(0.5, 4), draw.uniform(0.02, 0.1)

    def noise(place: int) -> float:
        return spread * draw.gauss(0, 1) / math.sqrt(draw.gammavariate(1.5, 2) / 3)

    return Bench(draw, lambda place, time: steep * math.log(LOADS[place] / capacity), noise)


def _share(draw: random.Random) -> Bench:
    """Requests within a limit, each by itself; 95 of 100 have to be. A repeat has 200."""
    capacity, steep, number, wanted = _place(draw), draw.uniform(1, 4), 200, 0.95

    def beyond(place: int) -> float:
        odds = (1 - wanted) / wanted * (LOADS[place] / capacity) ** (3 * steep)
        return odds / (1 + odds)

    def noise(place: int) -> float:
        return sum(draw.random() < beyond(place) for _ in range(number)) / number - beyond(place)

    least_sd = math.sqrt(wanted * (1 - wanted) / number)
    return Bench(draw, lambda place, time: beyond(place) - (1 - wanted), noise, least_sd=least_sd)


def _saturation(draw: random.Random) -> Bench:
    half, spread = draw.uniform(2, 30), draw.uniform(0.005, 0.03)
    return Bench(
        draw,
        lambda place, time: math.log(LOADS[place] / (half + LOADS[place])),
        lambda place: draw.gauss(0, spread),
        question=Grows(LOADS, GAIN, KEY),
    )


def _queue(draw: random.Random) -> Bench:
    """Loads are requests a second; k servers, log-normal service of 1 s on average, p90 of latency within a limit."""
    servers = draw.choice((4, 16, 64))
    loads = ladder(0.05 * servers, 2 * servers, WITHIN, are_whole=False)
    limit_s = draw.choice((2.0, 3.0))
    return Bench(
        draw,
        lambda place, time: _queued(servers, loads[place])[1] - math.log(limit_s),
        lambda place: draw.choice(_queued(servers, loads[place])[0]) - _queued(servers, loads[place])[1],
        loads=loads,
    )


@cache
def _queued(servers: int, rate: float) -> tuple[list[float], float]:
    """Return the logarithms of the p90 latencies of 200 repeats, in seconds, and their mean."""
    draw = random.Random(f"{servers} {rate}")
    found = [math.log(_p90_s(draw, servers, rate)) for _ in range(200)]
    return found, statistics.fmean(found)


def _p90_s(draw: random.Random, servers: int, rate: float, number: int = 300) -> float:
    free = [0.0] * servers
    now_s, latencies = 0.0, []
    for _ in range(number):
        now_s += draw.expovariate(rate)
        begin_s = max(now_s, heapq.heappop(free))
        end_s = begin_s + draw.lognormvariate(-0.125, 0.5)
        heapq.heappush(free, end_s)
        latencies.append(end_s - now_s)
    return statistics.quantiles(latencies, n=10)[-1]


def _place(draw: random.Random) -> float:
    """Return a capacity between 1 and 512 or, now and then, beyond."""
    return math.exp(draw.uniform(math.log(0.8), math.log(700)))


KINDS: Mapping[str, Callable[[random.Random], Bench]] = {
    "smooth": _smooth,
    "smooth, starts": _starts,
    "queue": _queue,
    "cliff": _cliff,
    "bump": _bump,
    "drift": _drift,
    "tails": _tails,
    "share": _share,
    "saturation": _saturation,
}

if __name__ == "__main__":
    raise SystemExit(main())
