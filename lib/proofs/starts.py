"""Are 95 % what they say where starts vary? Known means and equal launches, measured many times. Prints rates as JSON.

    python lib/proofs/starts.py                     # 2,000 of each kind: a minute and a half
    python lib/proofs/starts.py --times 300 --seed 1

The numbers are synthetic input with a known truth: none was measured. Three questions:
- `until`: an experiment adds rounds, by the code that a run has for it, until the mean of values that vary by 1 to 5 %
  is known to ±2 %. How often does the truth lie as near as is said? With a budget of 10 rounds and of 30, stopped with
  the target met or not.
- The same on one start, where starts vary as well: what is known is known of that start, and of the launch only with
  `starts`, one value of each.
- `compare --other-run`: two runs of one launch, whose starts vary by 1 to 10 % and whose repeats by 1.25 %. How often
  is it called different from itself? And a launch that is 10 % faster: how often is that found?

All are normal or lognormal. Rates come with exact binomial 95 % intervals. Exits with 1 where a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchbook.judge.compare import Comparison, compare
from benchbook.plan.experiment import Experiment, load_experiment
from benchbook.plan.order import Block, Repeat
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.sweep.added_rounds import AddedRounds
from benchbook.sweep.block_result import Attempt, BlockResult
from benchbook.sweep.planning import PlannedCase, RunPlan
from false_claims import ONE_CASE, is_found, rate_of, record_of

TARGET = 0.02
CVS = (0.01, 0.02, 0.03, 0.04, 0.05)
BUDGETS = ((2, 10), (3, 10), (3, 30), (5, 30))  # least and most rounds
START_SDS = (0.01, 0.02, 0.05, 0.10)
REPEAT = 0.0125  # standard deviation of a repeat's logarithm
RUNS = ((3, 3, 1), (5, 5, 2), (8, 8, 1), (3, 8, 1))  # starts of each run, and repeats of each start
KEY = "output_throughput_tok_s"
LIMITS = {"covered_at_least": 0.945, "false_claims_at_most": 0.05}
_EXPERIMENT = """
question: How well is a mean known?
model: tiny
launches: {{a: {{}}}}
benchmarks:
  - throughput: {{num_prompts: 64, lengths: [[128, 64]]}}
repeats: {{{least}, at_most: {most}, until: {{output_throughput_tok_s: 2 %}}}}
"""
Draw = Callable[[random.Random], Iterator[float]]  # the values of one run's rounds


def main() -> int:
    """Print the rates as JSON; return 1 where one is outside its limit by more than chance explains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    known, claimed = covered_rates(options.times, options.seed), false_claims(options.times, options.seed)
    told = {"of one start alone": of_one_start(options.times, options.seed)}
    told |= {"10 % faster, found": found_rates(options.times // 4, options.seed)}
    print(json.dumps({**vars(options), "covered": known, "A/A": claimed, **told, "limits": LIMITS}, indent=2))
    return 0 if is_within_limits(known, claimed) else 1


def is_within_limits(known: Mapping[str, Mapping[str, Any]], claimed: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether no rate is beyond its limit by more than its interval."""
    return all(rate["high"] >= LIMITS["covered_at_least"] for rate in known.values()) and all(
        rate["low"] <= LIMITS["false_claims_at_most"] for rate in claimed.values()
    )


def covered_rates(times: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return {what: rate} of the truth lying as near as `until` says, with the mean number of rounds."""
    return {
        f"{least} to {most} rounds, cv {cv:.0%}": covered(
            rounds_until(f"at_least: {least}", most), lambda draw, cv=cv: normal(draw, cv), times, seed
        )
        for least, most in BUDGETS
        for cv in CVS
    }


def of_one_start(times: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return the same where starts vary by 5 % and repeats by 1 %: rounds on one start, and rounds that are starts."""

    def one_start(draw: random.Random) -> Iterator[float]:
        luck = draw.gauss(0, 0.05)
        return (luck + value for value in normal(draw, 0.01))

    return {
        "3 to 10 rounds on one start": covered(rounds_until("at_least: 3", 10), one_start, times, seed),
        "3 to 10 starts": covered(
            rounds_until("starts: 3", 10), lambda draw: normal(draw, math.hypot(0.05, 0.01)), times, seed
        ),
    }


def false_claims(times: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return {what: rate} of comparisons of two runs of one launch that claim anything."""
    return {
        _runs_text(runs, sd): rate_of([bool(found.claims) for found in two_runs(runs, sd, 1.0, times, seed)])
        for runs in RUNS
        for sd in START_SDS
    }


def found_rates(times: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return {what: rate} of comparisons of two runs that find the second launch 10 % faster, which it is."""
    return {
        _runs_text(runs, sd): rate_of([is_found(found) for found in two_runs(runs, sd, 1.1, times, seed)])
        for runs in RUNS
        for sd in START_SDS
    }


def rounds_until(least: str, most: int) -> AddedRounds:
    """Return what decides about rounds in a run of one case, e.g. from 'at_least: 3' or 'starts: 3' to at most 10."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known.yaml"
        path.write_text(_EXPERIMENT.format(least=least, most=most))
        experiment: Experiment = load_experiment(path)
    planned = {case.case_id: PlannedCase(case, {}) for case in experiment.cases}
    return AddedRounds(RunPlan(experiment, {}, planned), Store(Path(folder)))  # of a run that nobody asks anything


def known_after(adding: AddedRounds, values: Iterator[float]) -> tuple[int, float, float]:
    """Return after how many rounds, which give `values`, it is stopped, their mean, and the share it is known to."""
    experiment = adding.plan.experiment
    (case,) = experiment.cases
    drawn = [value for value, _ in zip(values, range(experiment.until.at_most))]
    # All is tried and measured already: the rounds are gone through as they would have been held.
    repeats = tuple(Repeat(case, number, "engine", seed=0) for number in range(len(drawn)))
    tried = tuple(Attempt(repeat, 1, is_measured=True, is_warm=True, wall_s=None) for repeat in repeats)
    known = {(case.case_id, number): ({KEY: value}, None) for number, value in enumerate(drawn)}
    adding = AddedRounds(adding.plan, adding.store, _measured=known)
    proposal = adding.next("engine", [BlockResult(Block(case.launch, "engine", repeats), attempts=tried)])
    rounds = proposal.repeats.get(case.case_id, experiment.repeats)
    return rounds, math.fsum(drawn[:rounds]) / rounds, adding.reached()[case.case_id][KEY]


def two_runs(runs: tuple[int, int, int], start_sd: float, speed: float, times: int, seed: int) -> Iterator[Comparison]:
    """Yield comparisons of two runs of so many starts, the second's launch `speed` times as fast as the first's."""
    draw, (first, second, repeats) = random.Random(f"{runs} {start_sd} {speed} {seed}"), runs
    for _ in range(times):
        base = _run("a", 1.0, first, repeats, start_sd, draw)
        other = _run("b", speed, second, repeats, start_sd, draw)
        yield compare(base, other, ("a", "b"), is_paired=False)


def _run(launch: str, speed: float, starts: int, repeats: int, start_sd: float, draw: random.Random) -> list[Record]:
    """Return the records of a run of one case: so many repeats on each of so many starts."""
    records: list[Record] = []
    for start in range(starts):
        luck = draw.gauss(math.log(speed), start_sd)
        for place in range(start * repeats, (start + 1) * repeats):
            factor = math.exp(draw.gauss(luck, REPEAT))
            records.append(record_of(launch, *ONE_CASE[0], place, place, factor, draw, ready_s=start))
    return records


def covered(adding: AddedRounds, values_of: Draw, times: int, seed: int) -> dict[str, Any]:
    """Return how often the truth, 1, lies as near as is said when rounds have ended, and after how many on average."""
    draw, inside, rounds = random.Random(seed), [], 0
    for _ in range(times):
        held, mean, known = known_after(adding, values_of(draw))
        inside.append(abs(mean - 1.0) <= known * mean)
        rounds += held
    return {**rate_of(inside), "mean_rounds": rounds / times}


def normal(draw: random.Random, cv: float) -> Iterator[float]:
    """Yield values that vary by `cv` around 1, without end."""
    while True:
        yield draw.gauss(1.0, cv)


def _runs_text(runs: tuple[int, int, int], start_sd: float) -> str:
    first, second, repeats = runs
    return f"{first} and {second} starts of {repeats}, which vary by {start_sd:.0%}"


if __name__ == "__main__":
    raise SystemExit(main())
