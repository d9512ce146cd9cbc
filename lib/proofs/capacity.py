"""Is the capacity that `find` answers the true one? Loads of a known truth, searched many times. Prints rates as JSON.

    python lib/proofs/capacity.py                    # 300 of each kind: half a minute
    python lib/proofs/capacity.py --times 2000 --seed 1

The numbers are synthetic input with a known truth: none was measured. Kinds of curves over the load, each search with
another capacity, steepness and spread:
- smooth: latency rises with load, repeats vary by 1 to 15 %; also with starts that vary, each repeat on a start of its own;
- queue: an open loop before k servers, each request simulated (M/G/k with log-normal service), p90 of 300 requests;
- cliff: from one load to the next, latency is several times as long;
- bump: a range of loads fails, wider than a doubling, and higher ones hold again;
- drift: the machine slows down by 5 to 15 % while it is searched; the truth is that of the middle of the measurements;
- tails: repeats vary as Student's t with 3 degrees does, now and then by much more than usual;
- share: the share of requests within a limit, of which most loads have all;
- saturation: the load from which twice as much adds less than 10 % throughput.

Asked are: how often lies the truth between the load that holds and the one that fails (of a bump: either edge), how many
decisions are wrong, and what share of a grid of the same resolution was measured: loads as far apart as the two ends, each
as often as these were, three times at least. Exits with 1 where a limit is broken.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchbook.judge.capacity import Decision, Grows, Kept, Question, Sample
from benchbook.judge.ladder import Search
from benchbook.plan.find import ladder
from false_claims import rate_of
from rated import print_rates

LIMITS = {"covered_at_least": 0.93, "wrong_decisions_at_most": 0.05, "time_of_the_grid_at_most": 0.25}
WITHIN, AT_MOST, GRID_REPEATS = 0.05, 8, 3
LOADS = ladder(1, 512, WITHIN, are_whole=True)
KEY = "p99_ttft_ms"
# Where repeats vary by so much that the ends stay far apart, a grid as coarse as that takes few loads too.
TIMED = ("smooth", "smooth, starts", "cliff", "bump", "drift", "tails")
GAIN = 0.10


@dataclass
class Bench:
    """One machine of a known truth: it measures a load, and knows which hold."""

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
        time = len(self.measured) - 1
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


def searched(bench: Bench) -> Search:
    """Search the bench to the end, by the code that a run has for it."""
    samples: dict[int, list[Sample]] = defaultdict(list)
    while (place := Search(bench.loads, bench.question, samples, AT_MOST).wanted()) is not None:
        samples[place].append(bench.sample(place))
    return Search(bench.loads, bench.question, samples, AT_MOST)


def main() -> int:
    """Print the rates as JSON; return 1 where one is outside its limit by more than chance explains."""
    return print_rates(__doc__, rates, LIMITS, broken)


def broken(kind: Mapping[str, Any]) -> bool:
    """Return whether a kind of curve breaks a limit by more than chance explains."""
    return (
        kind["covered"]["high"] < LIMITS["covered_at_least"]
        or kind["wrong_decisions"]["low"] > LIMITS["wrong_decisions_at_most"]
        or kind["is_timed"]
        and kind["time_of_the_grid"] > LIMITS["time_of_the_grid_at_most"]
    )


def rates(times: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return by kind of curve how often the truth lies between the ends, wrong decisions, and the time of the grid."""
    return {kind: {**_rates(make, times, seed), "is_timed": kind in TIMED} for kind, make in KINDS.items()}


def _rates(make: Callable[[random.Random], Bench], times: int, seed: int) -> dict[str, Any]:
    covered, wrong, again, shares, widths = [], [], [], [], []
    for number in range(times):
        bench = make(random.Random(f"{seed} {number}"))
        search = searched(bench)
        low = -1 if search.holds is None else search.holds
        high = len(bench.loads) if search.fails is None else search.fails
        covered.append(any(low <= edge < high for edge in bench.edges()))
        told = {place: one.decision for place, one in search.known.items() if one.decision is not Decision.OPEN}
        wrong += [bench.holds(place) is not (decision is Decision.HOLDS) for place, decision in told.items()]
        again.append(bool(search.holds_again))
        if search.holds is not None and search.fails is not None:
            widths.append(bench.loads[high] / bench.loads[low])
            shares.append(len(bench.measured) / _grid(search))
    return {
        "covered": rate_of(covered),
        "wrong_decisions": rate_of(wrong),
        "time_of_the_grid": round(statistics.fmean(shares), 3),
        "median_width": round(statistics.median(widths), 3) if widths else None,
        "holds_again_said": statistics.fmean(again),
    }


def _grid(search: Search) -> int:
    """Return the repeats of a grid of the same resolution: loads as far apart as the ends, as often as these."""
    ends = [place for end in (search.holds, search.fails) for place in search.question.measured(end)]
    repeats = max(GRID_REPEATS, *(len(search.samples[place]) for place in ends))
    width = search.loads[search.fails] / search.loads[search.holds]
    loads = ladder(search.loads[0], search.loads[-1], width - 1, isinstance(search.loads[0], int))
    return repeats * len(loads)


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
        lambda place, time: _mean_margin(servers, loads[place], limit_s),
        lambda place: _margin(draw, servers, loads[place], limit_s) - _mean_margin(servers, loads[place], limit_s),
        loads=loads,
    )


def _margin(draw: random.Random, servers: int, rate: float, limit_s: float, number: int = 300) -> float:
    free = [0.0] * servers
    now_s, latencies = 0.0, []
    for _ in range(number):
        now_s += draw.expovariate(rate)
        begin_s = max(now_s, heapq.heappop(free))
        end_s = begin_s + draw.lognormvariate(-0.125, 0.5)
        heapq.heappush(free, end_s)
        latencies.append(end_s - now_s)
    return math.log(statistics.quantiles(latencies, n=10)[-1] / limit_s)


@cache
def _mean_margin(servers: int, rate: float, limit_s: float) -> float:
    draw = random.Random(f"{servers} {rate}")
    return statistics.fmean(_margin(draw, servers, rate, limit_s) for _ in range(300))


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
