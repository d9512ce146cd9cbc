"""A new run against kept ones of its baseline, which vary from start to start and from day to day.

What lies between two runs, another hour, heat, neighbour or boot, is in no interval that one run tells. Several kept runs
of one baseline tell it: the run is the unit, its mean over starts one number. A new run of an equal launch is one more
draw from where these came from, so the interval is the one that foretells it: Student's t of the runs' spread s with
s·sqrt(1 + 1/runs). Where the new run has fewer starts than the kept ones, what its mean varies by more is added.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbook.judge.accuracy import accuracy_of
from benchbook.judge.compare import Comparison, Row, by_round, headline_groups, headlines_of, num_suspect, row_of
from benchbook.judge.pairs import Arm, MatchedCase, match_cases
from benchbook.judge.spread import by_start
from benchbook.judge.starts import start_of
from benchbook.judge.stats import RunSpread, foretold_ratio, run_spread
from benchbook.records.record import Record
from benchbook.terms.metrics import Metric

FEWEST_RUNS = 3  # of which two degrees of freedom are left


@dataclass(frozen=True)
class KeptRow:
    """A row of such a comparison, and by how much starts and days of the baseline vary in it."""

    row: Row
    spread: RunSpread


def compare_with_kept(
    kept: Sequence[Sequence[Record]], new: Sequence[Record], names: tuple[str, str], metrics: Sequence[Metric] = ()
) -> tuple[Comparison, list[KeptRow]]:
    """Return the records of a new run against those of each of the `kept` runs, with the spreads of each row.

    Compared are the headlines, or `metrics`, over all cases of a benchmark together and for each case.
    """
    cases, lone = match_cases(_as_rounds_of_one(kept), new)
    groups = [one for one in headline_groups(cases, metrics) if len(one[1]) > 1]
    groups += [(metric, [case]) for case in cases for metric in headlines_of(case, metrics)]
    found = [one for metric, group in groups if (one := _row(group, metric))]
    told = tuple(cases), tuple(lone), tuple(one.row for one in found)
    accuracy = accuracy_of([record for run in kept for record in run], new, names)
    return Comparison(*names, False, *told, accuracy=accuracy), found


def _as_rounds_of_one(kept: Sequence[Sequence[Record]]) -> list[Record]:
    """Return the records of all runs with rounds that no two runs share."""
    rounds: dict[tuple[int, int], int] = {}
    records = []
    for run, of_run in enumerate(kept):
        for record in of_run:
            number = rounds.setdefault((run, record.identity.repeat), len(rounds))
            records.append(
                record.model_copy(update={"identity": record.identity.model_copy(update={"repeat": number})})
            )
    return records


def _row(cases: Sequence[MatchedCase], metric: Metric) -> KeptRow | None:
    """Return the row of one case, or of several by their geometric mean in each round; None without a number."""
    base, other = by_round([case.base for case in cases], metric), by_round([case.other for case in cases], metric)
    if not base or not other:
        return None
    runs, (starts,) = list(_by_run(cases[0].base, base).values()), _by_run(cases[0].other, other).values()
    means = tuple(statistics.geometric_mean(run) for run in runs), (statistics.geometric_mean(starts),)
    row = row_of(cases, metric, True, foretold_ratio(runs, starts), means, False, num_suspect(cases, base, other))
    return KeptRow(row, run_spread(runs))


def _by_run(arm: Arm, rounds: Mapping[int, float]) -> dict[str | None, list[float]]:
    """Return the geometric mean of each start over its `rounds`, by run."""
    of = {repeat: arm.believed[repeat] for repeat in rounds}
    starts = by_start((value, (of[repeat].identity.run_id, start_of(of[repeat]))) for repeat, value in rounds.items())
    return by_start((statistics.geometric_mean(values), run) for (run, _), values in starts.items())
