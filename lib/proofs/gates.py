"""How often a gate is right: equal launches, planted losses, kept runs drawn again. Prints rates as JSON.

    python lib/proofs/gates.py                       # 500 gates of each kind: a minute
    python lib/proofs/gates.py --gates 200 --seed 1

Two budgets in turns. *8 rounds* are those of a file that leaves `repeats` out. *8 to 40 rounds* are those of
experiments/gate.yaml, the default budget of a gate: rounds are added until the mean of each launch's starts is known to 2.5 %
(`repeats: {at_least: 8, at_most: 40, until: {output_throughput_tok_s: 2.5 %}}`), and `plan` tells the price of both ends.
What ends the rounds is how much starts vary, and never by how much the launches differ, so that who stops does not
choose the answer: equal launches are called worse no more often, which is asked here at every spread.

Synthetic records are those of false_claims.py: repeats vary by 1.25 %, starts by 0.5 % or as said, one repeat in a hundred is
5 to 15 % slow, the machine drifts, latencies vary beside that. Replays are of measured runs, those of results/reference
in which a launch has three starts or more: each start's numbers, as shares of their mean over starts, are drawn again
with replacement, wider by sqrt(n / (n - 1)) since they lie around a mean of their own, for a baseline and a new launch
that are both this launch. What a round does to both is not in them, and in a gate it cancels.

Against kept runs, days vary by 1 % and starts by 0.5 %: three, five and eight runs of three starts, and a new one of three.
How many there are is no choice of the gate: eight are what finds 5 % there, and fewer do not.

How far the promise goes: a planted 5 % is found in nine of ten with 8 rounds where starts vary by 2 %, with 8 to 40 where
they vary by 6 %. Beyond, rounds grow with the square of the spread: 60 at 8 %, 95 at 10 %; `at_most` says how many may be.

Rates come with exact binomial 95 % intervals. Exits with 1 where a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.judge.compare import compare
from benchbook.judge.confidence import relative_half_width
from benchbook.judge.gate import Answer, Gate, gate
from benchbook.judge.kept import compare_with_kept
from benchbook.judge.spread import by_start
from benchbook.judge.starts import start_of
from benchbook.judge.stats import stdev
from benchbook.records.record import Record
from benchbook.report.run import load_run
from benchbook.terms.metrics import BY_KEY
from false_claims import CASES, ONE_CASE, rate_of, record_of, records_of_two

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
NAMED = {"output_throughput_tok_s": 0.03, "median_tpot_ms": 0.03, "p99_ttft_ms": 0.10}
ALLOWED = 0.03
DAY, START, REPEAT = 0.01, 0.005, 0.0125  # standard deviations of logarithms
STARTS = 3  # of a kept run
ENOUGH_KEPT = 8  # runs
LEAST_STARTS = 3
KEY, KNOWN_TO, AT_MOST = "output_throughput_tok_s", 0.025, 40  # of the default budget, experiments/gate.yaml
STEADY, UNSTEADY = (
    0.02,
    0.06,
)  # by which starts vary at most where 5 % is found with 8 rounds, and with the default budget
SPREADS = (0.02, 0.03, 0.04, 0.06)
LIMITS = {"worse_at_most": 0.05, "found_at_least": 0.90, "passed_at_most": 0.05}
Gates = Iterator[Gate]


@dataclass(frozen=True)
class Kind:
    """Gates of one kind, and whether a loss of 5 % is promised to be found in nine of ten of them."""

    gates: Gates
    is_promised: bool = True


def main() -> int:
    """Print the rates as JSON; return 1 where one is outside its limit by more than chance explains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=500, help="of each kind")
    parser.add_argument("--repeats", type=int, default=8, help="rounds, those that are added left out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = rates(kinds(options.gates, options.repeats, options.seed))
    print(json.dumps({**vars(options), "rates": found, "limits": LIMITS}, indent=2))
    return 0 if is_within_limits(found) else 1


def rates(asked: Mapping[str, Kind]) -> dict[str, dict[str, Any]]:
    """Return {kind: {answer: rate}}, with the mean of how many rounds or kept runs there were."""
    return {name: {**_answers(kind.gates), "is_promised": kind.is_promised} for name, kind in asked.items()}


def kinds(gates: int, repeats: int, seed: int = 0) -> dict[str, Kind]:
    """Return gates by the name of their kind, in which stands how much worse the new launch is."""
    named = {
        "equal, seven cases": Kind(synthetic(CASES, 0.0, gates, repeats, seed)),
        "equal, seven cases, three metrics": Kind(synthetic(CASES, 0.0, gates, repeats, seed + 1, NAMED)),
        "3 % worse, one case": Kind(synthetic(ONE_CASE, 0.03, gates, repeats, seed + 2)),
        "5 % worse, one case": Kind(synthetic(ONE_CASE, 0.05, gates, repeats, seed + 3)),
        "5 % worse, seven cases": Kind(synthetic(CASES, 0.05, gates, repeats, seed + 4)),
        "5 % worse, seven cases, three metrics": Kind(synthetic(CASES, 0.05, gates, repeats, seed + 5, NAMED)),
    }
    for spread in SPREADS:
        varied, often = f"starts vary by {spread:.0%}", f"{repeats} to {AT_MOST} rounds"
        few = synthetic(ONE_CASE, 0.05, gates, repeats, seed + 11, start=spread)
        named[f"5 % worse, {varied}, {repeats} rounds"] = Kind(few, spread <= STEADY)
        for loss, what in ((0.0, "equal"), (0.05, "5 % worse")):
            more = synthetic(ONE_CASE, loss, gates, repeats, seed + 12, start=spread, at_most=AT_MOST)
            named[f"{what}, {varied}, {often}"] = Kind(more, spread <= UNSTEADY)
    for runs in (3, 5, ENOUGH_KEPT):
        for loss, what in ((0.0, "equal"), (0.03, "3 % worse"), (0.05, "5 % worse")):
            kept = against_kept(loss, gates, runs, seed + 6 + runs)
            named[f"{what}, against {runs} kept runs"] = Kind(kept, runs >= ENOUGH_KEPT)
    for name, records in measured_launches().items():
        for loss, what in ((0.0, "equal"), (0.05, "5 % worse")):
            again = replayed(records, loss, gates, repeats, seed + 9)
            named[f"{what}, {name}"] = Kind(again, _varies_by(records) <= UNSTEADY + 0.0005)
    return named


def is_within_limits(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether no rate is beyond its limit by more than its interval."""
    at_most = [(kind, Answer.WORSE) for kind in found if kind.startswith("equal")]
    at_most += [(kind, Answer.NOT_WORSE) for kind in found if not kind.startswith("equal")]
    at_least = [kind for kind in found if kind.startswith("5 % worse") and found[kind]["is_promised"]]
    return all(found[kind][answer]["low"] <= LIMITS["worse_at_most"] for kind, answer in at_most) and all(
        found[kind][Answer.WORSE]["high"] >= LIMITS["found_at_least"] for kind in at_least
    )


def synthetic(
    cases: Sequence[Any],
    loss: float,
    gates: int,
    repeats: int,
    seed: int,
    own: Mapping[str, float] = {},
    start: float = START,
    at_most: int = 0,
) -> Gates:
    """Yield gates of two launches in turns, of which the new one is slower by `loss` in everything."""
    draw = random.Random(seed)
    for _ in range(gates):
        records = records_of_two(cases, 1 - loss, max(repeats, at_most), draw, start)
        held = _held([records["a"], records["b"]], repeats) if at_most else [records["a"], records["b"]]
        comparison = compare(*held, ("a", "b"), metrics=[BY_KEY[key] for key in own])
        yield Gate(comparison, tuple(gate(comparison, ALLOWED, own)))


def against_kept(loss: float, gates: int, runs: int, seed: int) -> Gates:
    """Yield gates of a run that is slower by `loss` against so many kept ones."""
    draw = random.Random(seed)
    for _ in range(gates):
        kept, new = [_run(1.0, run, draw) for run in range(runs)], _run(1 - loss, runs, draw)
        comparison, _ = compare_with_kept(kept, new, ("kept", "new"))
        yield Gate(comparison, tuple(gate(comparison, ALLOWED, is_foretold=True)))


def replayed(records: Sequence[Record], loss: float, gates: int, repeats: int, seed: int) -> Gates:
    """Yield gates of a launch against itself, slowed by `loss`, both drawn from the starts that were measured."""
    draw = random.Random(seed)
    starts = [group[0] for group in by_start((record, start_of(record)) for record in records).values()]
    for _ in range(gates):
        arms = [[_drawn(starts, place, of, draw) for place in range(AT_MOST)] for of in (0.0, loss)]
        comparison = compare(*_held(arms, repeats), ("base", "new"))
        yield Gate(comparison, tuple(gate(comparison, ALLOWED)))


def _held(arms: Sequence[Sequence[Record]], repeats: int) -> list[Sequence[Record]]:
    """Return the records of the rounds that are held: as a run adds them, until each launch is known well enough."""
    of = [[record.values[KEY] for record in arm] for arm in arms]
    known = (number for number in range(repeats, AT_MOST) if all(_is_known(values[:number]) for values in of))
    rounds = next(known, AT_MOST)
    return [arm[:rounds] for arm in arms]


def _is_known(values: Sequence[float]) -> bool:
    width = relative_half_width(values)
    return width is not None and width <= KNOWN_TO


def measured_launches() -> dict[str, list[Record]]:
    """Return the records of each launch of a committed run that has one case and three starts or more."""
    found = {}
    for folder in sorted(path.parent for path in REFERENCE.glob("*/run.json")):
        for launch, records in load_run(folder).by_launch.items():
            believed = [record for record in records if record.is_believed]
            cases, starts = ({read(one) for one in believed} for read in (lambda one: one.identity.case_id, start_of))
            if len(cases) == 1 and len(starts) >= LEAST_STARTS:
                found[f"{folder.name}, {launch}, starts vary by {_varies_by(believed):.1%}"] = believed
    return found


def _varies_by(records: Sequence[Record]) -> float:
    return stdev([math.log(record.values["output_throughput_tok_s"]) for record in records])


def _answers(gates: Gates) -> dict[str, Any]:
    found = list(map(_told, gates))
    told = {answer.value: rate_of([one is answer for one, _ in found]) for answer in Answer}
    return {**told, "mean_rounds": round(statistics.fmean(rounds for _, rounds in found), 1)}


def _told(found: Gate) -> tuple[Answer, int]:
    """Return what a gate says, and of how many rounds or kept runs; no more, for a comparison takes a megabyte."""
    return found.answer, found.comparison.rows[0].num_base


def _run(speed: float, number: int, draw: random.Random) -> list[Record]:
    """Return the records of one run on a day of its own: a repeat on each of its starts."""
    day, records = draw.gauss(math.log(speed), DAY), []
    for start in range(STARTS):
        factor = math.exp(draw.gauss(day, math.hypot(START, REPEAT)))
        record = record_of("a", *ONE_CASE[0], start, start, factor, draw, ready_s=100 * number + start)
        records.append(_with(record, run_id=str(number)))
    return records


def _drawn(starts: Sequence[Record], place: int, loss: float, draw: random.Random) -> Record:
    """Return one of `starts` as the repeat at `place`, its deviation from the mean widened, its speed less by `loss`."""
    record = draw.choice(starts)
    widening, values = math.sqrt(len(starts) / (len(starts) - 1)), dict(record.values)
    for key in ("output_throughput_tok_s", "mean_e2el_ms"):
        middle = statistics.geometric_mean(one.values[key] for one in starts)
        slowed = 1 - loss if key == "output_throughput_tok_s" else 1 / (1 - loss)
        values[key] = middle * (record.values[key] / middle) ** widening * slowed
    return _with(record, repeat=place).model_copy(update={"values": values})


def _with(record: Record, **changes: Any) -> Record:
    return record.model_copy(update={"identity": record.identity.model_copy(update=changes)})


if __name__ == "__main__":
    raise SystemExit(main())
