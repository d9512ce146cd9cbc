"""On how many starts of their hosts the numbers of a run rest, and how much starts vary: what ± and intervals are of."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchbook.judge.headlines import headline_of
from benchbook.judge.spread import by_start
from benchbook.judge.starts import start_of
from benchbook.judge.stats import stdev
from benchbook.records.handover import RECORD_FILE
from benchbook.records.record import Record
from benchbook.records.record_file import read_record
from benchbook.records.runs import CASES, is_run
from benchbook.report.run import Run
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import StoreError
from benchbook.terms.wording import percent_text

MOST_RUNS = 10  # of the same experiment that are looked through, the newest
MOST_CASES = 20


@dataclass(frozen=True)
class StartSpread:
    """How much starts of the same cases vary, over this run and others of its experiment."""

    relative: float  # one standard deviation of the means of starts, as a share
    num_starts: int  # of the case that has most
    num_others: int  # runs beside this one


def starts_sentence(run: Run) -> str:
    """Return on how many starts the cases were measured, and of what ± is; '' where nobody noted the starts."""
    counts = {len(starts) for starts in _starts_by_case(run).values()}
    if not counts:
        return ""
    if max(counts) > 1:
        number = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"
        of_means = "and ± is of their means" if min(counts) > 1 else "and where there are several, ± is of their means"
        return f"Each case was measured on {number} starts of its launch, {of_means}."
    return one_start_sentence(run)


def one_start_sentence(run: Run) -> str:
    """Return that ± and intervals are of one start, and how much starts vary; '' where a case has several or none."""
    if not is_of_one_start(run):
        return ""
    said = (
        "All repeats of a case share one start: ± and intervals tell of that start alone, and another, with memory and "
        "placement drawn anew, may differ"
    )
    known = start_spread(run)
    if known is None:
        return f"{said}; by how much is not known here (repeats: {{starts: 3}} measures it)."
    others = "another" if known.num_others == 1 else f"{known.num_others} others"
    return (
        f"{said}: over this run and {others} of the experiment, the means of {known.num_starts} starts vary by "
        f"{percent_text(known.relative)} (one standard deviation, by the headline metrics)."
    )


def is_of_one_start(run: Run) -> bool:
    """Return whether each case with a believed repeat has all of them from one start, as far as starts were noted."""
    return {len(starts) for starts in _starts_by_case(run).values()} == {1}


def until_scope(run: Run) -> str:
    """Return what a target of a run's means speaks of: its one start, or the very starts it has; '' where of starts.

    Of starts speak cases whose every repeat has one of its own. A run that was interrupted and went on has started its
    hosts again in between.
    """
    if is_of_one_start(run):
        return "this start"
    starts = _starts_by_case(run)
    repeats = Counter(record.identity.case_id for record in run.records if record.is_believed)
    is_shared = any(len(found) < repeats[case_id] for case_id, found in starts.items())
    return "the very starts that each case was measured on" if is_shared else ""


def start_spread(run: Run) -> StartSpread | None:
    """Return how much starts of the same cases vary, under the same conditions; None where no case has two of them.

    Other runs of the experiment count where they have the very case: its fingerprint holds the launch, the model, the
    versions and the device. Logarithms of the headline metrics are pooled over cases.
    """
    folders = sorted(path for path in run.run_dir.parent.iterdir() if is_run(path) and not path.is_symlink())
    others = [path for path in folders if path.resolve() != run.run_dir.resolve()][-MOST_RUNS:]
    ours: dict[str, list[Record]] = defaultdict(list)
    for record in run.records:
        ours[record.identity.case_key].append(record)
    squares, degrees, most, used = 0.0, 0, 0, set()
    for row in [row for row in run.plan if BENCHMARKS[row.benchmark].headline][:MOST_CASES]:
        theirs = {path: list(_records_in(path / CASES / row.case_key)) for path in others}
        records = [*ours[row.case_key], *(record for found in theirs.values() for record in found)]
        means = _start_means(records, headline_of(row.benchmark, records[0].load)) if records else ()
        if len(means) > 1:
            squares += stdev([math.log(mean) for mean in means]) ** 2 * (len(means) - 1)
            degrees += len(means) - 1
            most = max(most, len(means))
            used |= {path for path, found in theirs.items() if found}
    return StartSpread(math.sqrt(squares / degrees), most, len(used)) if degrees else None


def _starts_by_case(run: Run) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for record in run.records:
        if record.is_believed and (start := start_of(record)):
            found[record.identity.case_id].add(start)
    return found


def _start_means(records: Iterable[Record], key: str) -> list[float]:
    """Return the mean of the metric over the repeats of each start that was noted, where it is above 0."""
    pairs = [(record.values.get(key), start_of(record)) for record in records if record.is_believed]
    starts = by_start((value, start) for value, start in pairs if value and value > 0 and start)
    return [math.fsum(values) / len(values) for values in starts.values()]


def _records_in(case_dir: Path) -> Iterator[Record]:
    """Yield the records of a case's folder; none where it is not there, and none that are damaged."""
    for path in sorted(case_dir.glob(f"repeat=*/{RECORD_FILE}")):
        try:
            yield read_record(path)
        except StoreError:
            continue
