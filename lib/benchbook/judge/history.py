"""The runs of one experiment over time: a series of points for each launch, workload and metric, with its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchbook.judge.compare import by_round, headlines_of
from benchbook.judge.pairs import Arm, MatchedCase, match_cases
from benchbook.judge.spread import Spread, mean_interval, spread_of
from benchbook.judge.starts import start_of
from benchbook.judge.stats import CONFIDENCE
from benchbook.judge.steps import Step, steps_of
from benchbook.records.fingerprint import changed_parts
from benchbook.records.record import Record, Verdict
from benchbook.terms.metrics import Metric

ERROR = 1 - CONFIDENCE  # of a page: that any step is said where there is none
_NO_CONDITION = {"seed", "workload"}  # parts of a fingerprint that are the same, or mean no change


@dataclass(frozen=True)
class Point:
    """One run of a series."""

    run: str
    started_utc: str
    spread: Spread
    interval: tuple[float, float] | None  # 95 %, of the mean; of starts where there are several
    version: str  # of the engine
    num_suspect: int
    changed: tuple[str, ...]  # parts of the fingerprint that differ from the point before: packages, device, launch …


@dataclass(frozen=True)
class Series:
    """One metric of one launch and workload over runs, oldest first."""

    launch: str
    benchmark: str
    case: str  # for people
    metric: Metric
    points: tuple[Point, ...]
    steps: tuple[Step, ...] = ()


def history_of(runs: Sequence[tuple[str, Sequence[Record]]], metrics: Sequence[Metric] = ()) -> list[Series]:
    """Return the series of `runs`, (name, records), oldest first: of the headline metrics, or of `metrics`.

    The steps of all series together share one error.
    """
    cases: dict[tuple[str, str], list[tuple[str, MatchedCase]]] = {}
    for name, records in runs:
        by_launch: dict[str, list[Record]] = {}
        for record in records:
            by_launch.setdefault(record.identity.launch, []).append(record)
        for launch, of_launch in by_launch.items():
            for case in match_cases(of_launch, of_launch)[0]:
                cases.setdefault((launch, case.text), []).append((name, case))
    found = [
        Series(launch, group[0][1].benchmark, group[0][1].name, metric, _points(group, metric))
        for (launch, _), group in cases.items()
        for metric in headlines_of(group[0][1], metrics)
    ]
    found = [series for series in found if series.points]
    return [_with_steps(series, ERROR / len(found)) for series in found]


def _points(group: Sequence[tuple[str, MatchedCase]], metric: Metric) -> tuple[Point, ...]:
    points: list[Point] = []
    parts = None
    for name, case in group:
        values = by_round([case.base], metric)
        if not values:
            continue
        first = next(iter(case.base.believed.values()))
        changed = changed_parts(parts, first.identity.fingerprint_parts) if parts is not None else []
        parts = first.identity.fingerprint_parts
        points.append(_point(name, case.base, values, tuple(part for part in changed if part not in _NO_CONDITION)))
    return tuple(points)


def _point(name: str, arm: Arm, values: dict[int, float], changed: tuple[str, ...]) -> Point:
    records = [arm.believed[repeat] for repeat in values]
    starts = [start_of(record) for record in records]
    return Point(
        run=name,
        started_utc=min(record.started_utc for record in records),
        spread=spread_of(values.values(), starts),
        interval=mean_interval(list(values.values()), starts),
        version=str(records[0].host.version or ""),
        num_suspect=sum(record.verdict is Verdict.SUSPECT for record in records),
        changed=changed,
    )


def _with_steps(series: Series, error: float) -> Series:
    steps = steps_of([point.spread.mean for point in series.points], error)
    return Series(series.launch, series.benchmark, series.case, series.metric, series.points, tuple(steps))
