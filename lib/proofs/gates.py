"""How often a gate is right: equal launches, planted losses, kept runs drawn again. Prints rates as JSON.

    python lib/proofs/gates.py                       # 500 gates of each kind, 8 rounds: about four minutes
    python lib/proofs/gates.py --gates 200 --seed 1

Synthetic records are those of false_claims.py: repeats vary by 1.25 %, starts by 0.5 %, one repeat in a hundred is 5 to 15 %
slow, the machine drifts, latencies vary beside that. Replays are of measured runs, those of results/reference in which a
launch has three starts or more: each start's numbers, as shares of their mean over starts, are drawn again with
replacement, wider by sqrt(n / (n - 1)) since they lie around a mean of their own, for a baseline and a new launch that
are both this launch. What a round does to both is not in them, and in a gate it cancels.

Against kept runs, days vary by 1 % and starts by 0.5 %: five runs of three starts, and a new one of three.

Rates come with exact binomial 95 % intervals. Exits with 1 where a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook.judge.compare import compare
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
KEPT_RUNS, STARTS = 5, 3
LEAST_STARTS = 3
STEADY = 0.02  # launches whose starts vary by more: nobody promises that 8 rounds find 5 %
LIMITS = {"worse_at_most": 0.05, "found_at_least": 0.90, "passed_at_most": 0.05}
Gates = Iterator[Gate]


def main() -> int:
    """Print the rates as JSON; return 1 where one is outside its limit by more than chance explains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=500, help="of each kind")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = rates(options.gates, options.repeats, options.seed)
    print(json.dumps({**vars(options), "rates": found, "limits": LIMITS}, indent=2))
    return 0 if is_within_limits(found) else 1


def rates(gates: int, repeats: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return {kind: {answer: rate}}; in a kind's name stands how much worse the new launch is."""
    kinds: dict[str, Gates] = {
        "equal, seven cases": synthetic(CASES, 0.0, gates, repeats, seed),
        "equal, seven cases, three metrics": synthetic(CASES, 0.0, gates, repeats, seed + 1, NAMED),
        "3 % worse, one case": synthetic(ONE_CASE, 0.03, gates, repeats, seed + 2),
        "5 % worse, one case": synthetic(ONE_CASE, 0.05, gates, repeats, seed + 3),
        "5 % worse, seven cases": synthetic(CASES, 0.05, gates, repeats, seed + 4),
        "5 % worse, seven cases, three metrics": synthetic(CASES, 0.05, gates, repeats, seed + 5, NAMED),
        "equal, against five kept runs": against_kept(0.0, gates, seed + 6),
        "3 % worse, against five kept runs": against_kept(0.03, gates, seed + 7),
        "5 % worse, against five kept runs": against_kept(0.05, gates, seed + 8),
    }
    unpromised = {"5 % worse, against five kept runs"}
    for name, records in measured_launches().items():
        kinds |= {f"equal, {name}": replayed(records, 0.0, gates, repeats, seed + 9)}
        kinds |= {f"5 % worse, {name}": replayed(records, 0.05, gates, repeats, seed + 10)}
        unpromised |= {f"5 % worse, {name}"} if _varies_by(records) > STEADY else set()
    return {kind: {**_answers(found), "is_promised": kind not in unpromised} for kind, found in kinds.items()}


def is_within_limits(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether no rate is beyond its limit by more than its interval."""
    at_most = [(kind, Answer.WORSE) for kind in found if kind.startswith("equal")]
    at_most += [(kind, Answer.NOT_WORSE) for kind in found if not kind.startswith("equal")]
    at_least = [kind for kind in found if kind.startswith("5 % worse") and found[kind]["is_promised"]]
    return all(found[kind][answer]["low"] <= LIMITS["worse_at_most"] for kind, answer in at_most) and all(
        found[kind][Answer.WORSE]["high"] >= LIMITS["found_at_least"] for kind in at_least
    )


def synthetic(
    cases: Sequence[Any], loss: float, gates: int, repeats: int, seed: int, own: Mapping[str, float] = {}
) -> Gates:
    """Yield gates of two launches in turns, of which the new one is slower by `loss` in everything."""
    draw = random.Random(seed)
    for _ in range(gates):
        records = records_of_two(cases, 1 - loss, repeats, draw)
        comparison = compare(records["a"], records["b"], ("a", "b"), metrics=[BY_KEY[key] for key in own])
        yield Gate(comparison, tuple(gate(comparison, ALLOWED, own)))


def against_kept(loss: float, gates: int, seed: int) -> Gates:
    """Yield gates of a run that is slower by `loss` against kept ones."""
    draw = random.Random(seed)
    for _ in range(gates):
        kept, new = [_run(1.0, run, draw) for run in range(KEPT_RUNS)], _run(1 - loss, KEPT_RUNS, draw)
        comparison, _ = compare_with_kept(kept, new, ("kept", "new"))
        yield Gate(comparison, tuple(gate(comparison, ALLOWED, is_foretold=True)))


def replayed(records: Sequence[Record], loss: float, gates: int, repeats: int, seed: int) -> Gates:
    """Yield gates of a launch against itself, slowed by `loss`, both drawn from the starts that were measured."""
    draw = random.Random(seed)
    starts = [group[0] for group in by_start((record, start_of(record)) for record in records).values()]
    for _ in range(gates):
        base = [_drawn(starts, place, 0.0, draw) for place in range(repeats)]
        new = [_drawn(starts, place, loss, draw) for place in range(repeats)]
        comparison = compare(base, new, ("base", "new"))
        yield Gate(comparison, tuple(gate(comparison, ALLOWED)))


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
    given = [found.answer for found in gates]
    return {answer.value: rate_of([one is answer for one in given]) for answer in Answer}


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
