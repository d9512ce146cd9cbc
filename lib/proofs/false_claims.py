"""How often a comparison is right: launches with known differences, compared many times. Prints rates as JSON.

    python lib/proofs/false_claims.py                          # 2,000 comparisons of each kind, 8 repeats: about four minutes
    python lib/proofs/false_claims.py --comparisons 300 --repeats 4 --seed 1

The records are synthetic input with a known truth: no number in them was measured. Each comparison is of two launches
in turn, over the cases below; a repeat's speed is the product of
- what the round does to both launches (a random walk of 1 % a round: heat, neighbours),
- what the launch's start in this round does to all its cases (0.5 %: memory layout, placement),
- what happens to this one repeat (1.25 %), and with a chance of 1 % a mishap that costs 5 to 15 %,
- what its latencies do beside that (TTFT 3 %, p99 TTFT 6 %, TPOT 0.5 %, p99 TPOT 2 %),
all lognormal. TEN cases are compared with starts that vary by 2 % as well: the headline over all cases together is then
what there is to find. Rates come with exact binomial 95 % intervals. Exits with 1 where a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from benchbook.judge.compare import Comparison, Finding, Row, compare
from benchbook.records.conditions import Conditions
from benchbook.records.described import described
from benchbook.records.host import HostFacts
from benchbook.records.parts import Provenance
from benchbook.records.record import Identity, Outcome, Record, Verdict

SERVE = {"input_len_tokens": 128, "output_len_tokens": 64, "request_rate_rps": None}
ONE_CASE = (("serve", {**SERVE, "max_concurrency": 8, "num_prompts": 80}),)
CASES = (
    *(("serve", {**SERVE, "max_concurrency": cap, "num_prompts": 10 * cap}) for cap in (1, 2, 4, 8)),
    *(("latency", {"input_len_tokens": 128, "output_len_tokens": 64, "batch_size": size}) for size in (1, 8)),
    ("throughput", {"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 200}),
)
TEN = tuple(
    ("serve", {**SERVE, "max_concurrency": cap, "num_prompts": 10 * cap}) for cap in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
)
DRIFT, START, REPEAT = 0.01, 0.005, 0.0125  # standard deviations of logarithms
UNEVEN_START = 0.02
_QUIET_HOST, _NO_CONDITIONS, _NO_PROVENANCE = HostFacts(), Conditions(), Provenance()  # built anew, half of the time
MISHAP_CHANCE, MISHAP_SHARES = 0.01, (0.05, 0.15)
LATENCY_NOISE = {"ttft": 0.03, "p99_ttft": 0.06, "tpot": 0.005, "p99_tpot": 0.02}
LIMITS = {"false_claims_at_most": 0.05, "found_at_least": 0.90, "covered_at_least": 0.95, "overclaimed_at_most": 0.05}


def main() -> int:
    """Print the rates as JSON; return 1 where one is outside its limit by more than chance explains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000, help="of each kind")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = rates(options.comparisons, options.repeats, options.seed)
    settings = {"comparisons": options.comparisons, "repeats": options.repeats, "seed": options.seed}
    print(json.dumps({**settings, "rates": found, "limits": LIMITS}, indent=2))
    return 0 if is_within_limits(found) else 1


def rates(comparisons: int, repeats: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return {what: {'count', 'of', 'rate', 'low', 'high'}} of A/A, a planted 5 % and a planted 1 %."""
    return {what: rate for kind in KINDS for what, rate in kind.rates(comparisons, repeats, seed).items()}


@dataclass(frozen=True)
class Kind:
    """Comparisons of one kind: what is simulated, and what is asked of each."""

    cases: Sequence[tuple[str, dict[str, Any]]]
    speed: float  # of the second launch, the first has 1
    draw: int  # beside the seed: kinds with the same number meet the same luck
    asked: Mapping[str, Callable[[Comparison], list[bool]]]  # one outcome a comparison, or one a row
    start: float | None = None  # standard deviation of starts, of the logarithm; None: START

    def rates(self, comparisons: int, repeats: int, seed: int = 0) -> dict[str, dict[str, Any]]:
        """Return the rate of each thing asked; only outcomes are kept, for a comparison takes a megabyte."""
        outcomes: dict[str, list[bool]] = {what: [] for what in self.asked}
        start = START if self.start is None else self.start
        for comparison in simulated(self.cases, self.speed, comparisons, repeats, seed + self.draw, start):
            for what, answer in self.asked.items():
                outcomes[what] += answer(comparison)
        return {what: rate_of(found) for what, found in outcomes.items()}


def is_within_limits(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether no rate is beyond its limit by more than its interval."""
    at_most = {
        "A/A: comparisons with any claim": LIMITS["false_claims_at_most"],
        "A/A, ten cases, starts 2 %: comparisons with any claim": LIMITS["false_claims_at_most"],
        "1 %: comparisons that claim more than it is": LIMITS["overclaimed_at_most"],
    }
    at_least = {
        "5 %, one case: found": LIMITS["found_at_least"],
        "5 %, seven cases: found in each case": LIMITS["found_at_least"],
        "5 %, seven cases: found over the serve cases together": LIMITS["found_at_least"],
        "5 %, ten cases, starts 2 %: found over all together": LIMITS["found_at_least"],
        "1 %: headline intervals that cover it": LIMITS["covered_at_least"],
    }
    return all(found[what]["low"] <= limit for what, limit in at_most.items()) and all(
        found[what]["high"] >= limit for what, limit in at_least.items()
    )


def simulated(
    cases: Sequence[tuple[str, dict[str, Any]]],
    speed: float,
    comparisons: int,
    repeats: int,
    seed: int,
    start: float = START,
) -> Iterator[Comparison]:
    """Yield comparisons of two launches, the second `speed` times as fast as the first in everything."""
    draw = random.Random(seed)
    for _ in range(comparisons):
        records = records_of_two(cases, speed, repeats, draw, start)
        yield compare(records["a"], records["b"], ("a", "b"))


def records_of_two(
    cases: Sequence[tuple[str, dict[str, Any]]], speed: float, repeats: int, draw: random.Random, start: float = START
) -> dict[str, list[Record]]:
    """Return the records of launches a and b, measured in turn."""
    records: dict[str, list[Record]] = {"a": [], "b": []}
    clock_s, drift = 0, 0.0
    for repeat in range(repeats):
        drift += draw.gauss(0, DRIFT)
        for launch in "ab" if repeat % 2 == 0 else "ba":
            luck, ready_s = draw.gauss(math.log(speed) if launch == "b" else 0.0, start), clock_s
            for benchmark, workload in cases:
                mishap = math.log1p(-draw.uniform(*MISHAP_SHARES)) if draw.random() < MISHAP_CHANCE else 0.0
                factor = math.exp(drift + luck + mishap + draw.gauss(0, REPEAT))
                clock_s += 60
                records[launch].append(record_of(launch, benchmark, workload, repeat, clock_s, factor, draw, ready_s))
    return records


def is_claim(row: Row) -> bool:
    """Return whether the row claims a difference."""
    return row.finding in (Finding.BETTER, Finding.WORSE)


def is_found(comparison: Comparison) -> bool:
    """Return whether the first headline says that the second launch is better."""
    return next(row for row in comparison.rows if row.is_headline).finding is Finding.BETTER


def covers(row: Row, speed: float) -> bool:
    """Return whether the row's own 95 % interval holds the truth."""
    low, high = row.interval
    return low <= _truth(row, speed) <= high


def is_overclaimed(row: Row, speed: float) -> bool:
    """Return whether a claim's direction is wrong, or the least size it states is more than the truth."""
    truth, nearer = _truth(row, speed), min(row.bounds, key=_size)
    is_sized = (row.bounds[0] > 1) == (row.bounds[1] > 1)
    return (row.ratio.ratio > 1) != (truth > 1) or (is_sized and _size(nearer) > _size(truth))


def _truth(row: Row, speed: float) -> float:
    return speed if row.metric.higher_is_better else 1 / speed


def _size(ratio: float) -> float:
    return abs(math.log(ratio))


def rate_of(outcomes: Sequence[bool]) -> dict[str, Any]:
    """Return how many outcomes are true, with the exact 95 % interval of their rate."""
    from scipy.stats import binomtest

    count, number = sum(outcomes), len(outcomes)
    low, high = map(float, binomtest(count, number).proportion_ci(method="exact"))
    return {"count": count, "of": number, "rate": count / number, "low": low, "high": high}


_described: dict[str, dict[str, Any]] = {}  # by the workload's text: a simulation asks the same thousands of times


def record_of(
    launch: str,
    benchmark: str,
    workload: dict[str, Any],
    repeat: int,
    clock_s: int,
    factor: float,
    draw: random.Random,
    ready_s: int,
) -> Record:
    """Return a repeat measured at `clock_s`, `factor` times as fast as usual, on the host that was ready at `ready_s`."""
    text = ",".join([benchmark, *(f"{key}={value}" for key, value in workload.items() if value is not None)])
    if text not in _described:
        _described[text] = described(benchmark, workload)._asdict()
    stamp, ready = (
        (datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)).isoformat()
        for seconds in (clock_s, ready_s)
    )
    return Record(
        identity=Identity(launch=launch, case_id=f"{launch},{text}", repeat=repeat),
        benchmark=benchmark, workload=workload, **_described[text], outcome=Outcome.MEASURED, verdict=Verdict.VALID,
        values=_VALUES[benchmark](factor, draw), started_utc=stamp, ended_utc=stamp,
        started_monotonic_s=clock_s, ended_monotonic_s=clock_s, seed=repeat, request_set_sha256=f"{text} {repeat}",
        host=_QUIET_HOST.model_copy(update={"ready_utc": ready}), conditions=_NO_CONDITIONS, provenance=_NO_PROVENANCE,
    )  # fmt: skip


def _serve(factor: float, draw: random.Random) -> dict[str, float]:
    noise = {name: math.exp(draw.gauss(0, deviation)) for name, deviation in LATENCY_NOISE.items()}
    return {
        "output_throughput_tok_s": 1500 * factor,
        "median_ttft_ms": 40 / factor * noise["ttft"],
        "p99_ttft_ms": 90 / factor * noise["p99_ttft"],
        "median_tpot_ms": 5 / factor * noise["tpot"],
        "p99_tpot_ms": 6 / factor * noise["p99_tpot"],
        "mean_e2el_ms": 355 / factor * noise["tpot"],
    }


def _latency(factor: float, draw: random.Random) -> dict[str, float]:
    noise = math.exp(draw.gauss(0, LATENCY_NOISE["p99_tpot"]))
    average_s = 0.37 / factor
    return {
        "avg_batch_latency_s": average_s,
        "p50_batch_latency_s": average_s,
        "p90_batch_latency_s": average_s * 1.1 * noise,
    }


_VALUES = {
    "serve": _serve,
    "latency": _latency,
    "throughput": lambda factor, _: {"output_throughput_tok_s": 1700 * factor},
}
KINDS = (
    Kind(
        CASES,
        1.0,
        0,
        {
            "A/A: comparisons with any claim": lambda one: [bool(one.claims)],
            "A/A: claims among all rows": lambda one: [is_claim(row) for row in one.rows],
        },
    ),
    Kind(
        CASES,
        1.05,
        1,
        {
            "5 %, seven cases: found over the serve cases together": lambda one: [is_found(one)],
            "5 %, seven cases: found in each case": lambda one: [
                row.finding is Finding.BETTER for row in one.rows if row.is_headline and row.num_cases == 1
            ],
        },
    ),
    Kind(
        CASES,
        1.01,
        1,
        {
            "1 %: claimed over the serve cases together": lambda one: [is_found(one)],
            "1 %: headline intervals that cover it": lambda one: [
                covers(row, 1.01) for row in one.rows if row.is_headline
            ],
            "1 %: comparisons that claim more than it is": lambda one: [
                any(is_overclaimed(row, 1.01) for row in one.claims)
            ],
        },
    ),
    Kind(ONE_CASE, 1.05, 2, {"5 %, one case: found": lambda one: [is_found(one)]}),
    Kind(
        TEN,
        1.0,
        3,
        {"A/A, ten cases, starts 2 %: comparisons with any claim": lambda one: [bool(one.claims)]},
        UNEVEN_START,
    ),
    Kind(
        TEN, 1.05, 3, {"5 %, ten cases, starts 2 %: found over all together": lambda one: [is_found(one)]}, UNEVEN_START
    ),
)

if __name__ == "__main__":
    raise SystemExit(main())
