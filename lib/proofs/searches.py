"""Is what `search` claims true? Searches over launches of a known truth, many times. Prints rates as JSON.

    python lib/proofs/searches.py                    # 300 of each kind: some three minutes
    python lib/proofs/searches.py --times 2000 --seed 1

The numbers are synthetic input with a known truth: none was measured. Each search has 24 candidates beside a default and
goes the way of a run: the next launch is asked for (judge/halving.py), measured, and so on to the end; the confirmation is
judged as a run's is (judge/searched.py). Starts vary by 1 to 2 %, repeats by 1 to 2 % beside that, both anew for each
search, and the machine drifts by 0.2 % from start to start (a random walk). Kinds:
- planted: one is 6 % faster, the others are as fast as the default;
- none: no candidate is faster;
- many: candidates differ, from 6 % slower to 4 % faster, and one is 6 % faster;
- worse: all candidates are slower, by 0 to 6 %;
- limit: the three fastest, 8 % faster, break the SLO by 20 %; one that keeps it is 6 % faster;
- budget: as planted, with a budget for 60 starts instead of the 77 of a whole search;
- cut: as planted, every tenth of them interrupted at 30 moments, and continued from what was measured by then.

Asked are: is the planted one recommended, is a gain claimed where there is none or more than there is, does the claimed
interval hold the truth, and what share of a grid (every candidate in as many rounds as a confirmation) was measured; of
cut: does it measure the same and end the same. Exits with 1 where a limit is broken.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchbook.judge.halving import Halving, Next, Trial
from benchbook.judge.searched import Searched
from benchbook.records.header import Search
from benchbook.records.record import Record
from false_claims import ONE_CASE, rate_of, record_of
from rated import print_rates

LIMITS = {"found_at_least": 0.90, "covered_at_least": 0.95, "false_claims_at_most": 0.05}
CANDIDATES, GAIN, ROUNDS, DRIFT, TRIAL_S = 24, 0.06, 8, 0.002, 60.0
CUTS = 30
METRIC, LATENCY = "output_throughput_tok_s", "p99_ttft_ms"
LIMIT_MS = 100.0
DEFAULT = "default"
NAMES = tuple(f"c{number}" for number in range(CANDIDATES))


@dataclass
class Bench:
    """Launches of known speeds: it starts and measures one, and keeps its record."""

    draw: random.Random
    speeds: Mapping[str, float]  # of the candidates, as shares of the default's
    latency_ms: Mapping[str, float] = field(default_factory=dict)  # of p99 TTFT, where there is a limit
    budget_s: float | None = None
    records: dict[tuple[str, int], Record] = field(default_factory=dict)
    trials: dict[tuple[str, int], Trial] = field(default_factory=dict)
    _drift: float = 0.0

    def __post_init__(self) -> None:
        self.start, self.repeat = self.draw.uniform(0.01, 0.02), self.draw.uniform(0.01, 0.02)

    @property
    def search(self) -> Search:
        """Return what is asked, as run.json has it."""
        text = ",".join(
            [ONE_CASE[0][0], *(f"{key}={value}" for key, value in ONE_CASE[0][1].items() if value is not None)]
        )
        return Search(
            default=DEFAULT,
            cases={name: f"{name},{text}" for name in (DEFAULT, *self.speeds)},
            metric=METRIC,
            limits={LATENCY: LIMIT_MS} if self.latency_ms else {},
            confirmations=ROUNDS,
            budget_s=self.budget_s,
        )

    def measure(self, wanted: Next) -> None:
        """Start the launch and measure it once."""
        self._drift += self.draw.gauss(0, DRIFT)
        luck = self.draw.gauss(0, self.start) + self.draw.gauss(0, self.repeat)
        speed, clock_s = self.speeds.get(wanted.launch, 1.0), int(TRIAL_S) * len(self.records)
        factor = speed * math.exp(self._drift + luck)
        record = record_of(wanted.launch, *ONE_CASE[0], wanted.round, clock_s, factor, self.draw, ready_s=clock_s)
        values = dict(record.values)
        if self.latency_ms:
            values[LATENCY] = self.latency_ms.get(wanted.launch, 60.0) * math.exp(self.draw.gauss(0, 0.05))
        record = record.model_copy(update={"values": values, "ended_monotonic_s": clock_s + TRIAL_S})
        self.records[wanted.launch, wanted.round] = record
        one = Searched(self.search, {(wanted.launch, wanted.round): record})
        self.trials |= one.halving.trials

    def halving(self, trials: Mapping[tuple[str, int], Trial]) -> Halving:
        """Return the search as it goes on after these trials."""
        return Halving(DEFAULT, tuple(self.speeds), ROUNDS, trials, self.budget_s)

    def searched(self) -> Searched:
        """Search to the end, by the code that a run has for it."""
        while wanted := self.halving(self.trials).course.next:
            self.measure(wanted)
        return Searched(self.search, self.records)


@dataclass(frozen=True)
class Kind:
    """Searches of one kind."""

    make: Callable[[random.Random], Bench]
    best: bool  # whether one is to be found: it is called "c0"


def main() -> int:
    """Print the rates as JSON; return 1 where one is outside its limit by more than chance explains."""
    return print_rates(__doc__, rates, LIMITS, broken)


def rates(times: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return by kind how often the best is found, what is claimed and how true it is, and the share of a grid."""
    return {name: _rates(name, kind, times, seed) for name, kind in KINDS.items()}


def broken(kind: Mapping[str, Any]) -> bool:
    """Return whether a kind breaks a limit by more than chance explains."""
    return (
        ("found" in kind and kind["found"]["high"] < LIMITS["found_at_least"])
        or kind["covered"]["high"] < LIMITS["covered_at_least"]
        or kind["false_claims"]["low"] > LIMITS["false_claims_at_most"]
        or ("continued_alike" in kind and kind["continued_alike"]["rate"] < 1)
    )


def _rates(name: str, kind: Kind, times: int, seed: int) -> dict[str, Any]:
    found, covered, false, shares, alike = [], [], [], [], []
    for number in range(times):
        draw = random.Random(f"{seed} {number} {name}")
        bench = kind.make(draw)
        searched = bench.searched()
        best, claims = searched.best, [one for one in searched.confirmed if one.is_better]
        found.append(best is not None and best.launch == "c0")
        false.append(any(bench.speeds[one.launch] <= 1 for one in claims))
        covered.append(all(one.row.bounds[0] <= bench.speeds[one.launch] <= one.row.bounds[1] for one in claims))
        shares.append(len(bench.records) / ((CANDIDATES + 1) * ROUNDS))
        if name == "cut" and number % 10 == 0:
            alike += [_continues(bench, draw) for _ in range(CUTS)]
    rated = {
        "covered": rate_of(covered),
        "false_claims": rate_of(false),
        "share_of_grid": round(statistics.fmean(shares), 3),
    }
    rated |= {"found": rate_of(found)} if kind.best else {}
    return rated | ({"continued_alike": rate_of(alike)} if alike else {})


def _continues(bench: Bench, draw: random.Random) -> bool:
    """Return whether a search that was cut at some moment asks for the rest of the same, each once, and ends the same."""
    order = list(bench.trials)
    kept = {key: bench.trials[key] for key in order[: draw.randrange(len(order))]}
    asked = []
    while wanted := bench.halving(kept).course.next:
        key = (wanted.launch, wanted.round)
        if key in kept or key not in bench.trials:
            return False
        kept[key] = bench.trials[key]
        asked.append(key)
    return list(kept) == order and bench.halving(kept).course == bench.halving(bench.trials).course


def _planted(draw: random.Random) -> Bench:
    return Bench(draw, {name: 1 + GAIN * (name == "c0") for name in NAMES})


def _none(draw: random.Random) -> Bench:
    return Bench(draw, dict.fromkeys(NAMES, 1.0))


def _many(draw: random.Random) -> Bench:
    return Bench(draw, {name: 1 + (GAIN if name == "c0" else draw.uniform(-0.06, 0.04)) for name in NAMES})


def _worse(draw: random.Random) -> Bench:
    return Bench(draw, {name: 1 - draw.uniform(0, 0.06) for name in NAMES})


def _limit(draw: random.Random) -> Bench:
    faster = dict.fromkeys(("c1", "c2", "c3"), 1.08)
    bench = _planted(draw)
    return replace(bench, speeds={**bench.speeds, **faster}, latency_ms=dict.fromkeys(faster, 1.2 * LIMIT_MS))


def _budget(draw: random.Random) -> Bench:
    return replace(_planted(draw), budget_s=60 * TRIAL_S)


KINDS: Mapping[str, Kind] = {
    "planted": Kind(_planted, True),
    "none": Kind(_none, False),
    "many": Kind(_many, True),
    "worse": Kind(_worse, False),
    "limit": Kind(_limit, True),
    "budget": Kind(_budget, True),
    "cut": Kind(_planted, True),
}

if __name__ == "__main__":
    raise SystemExit(main())
