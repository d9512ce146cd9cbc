"""`benchbook reproduce`: a run made again from its folder, what is not the same here, and whether the numbers agree."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchbook.judge.agreement import Agreement, Found, agreements
from benchbook.patterns import fitting, without_searched
from benchbook.records.record import Record
from benchbook.records.runs import run_name
from benchbook.records.store import Store
from benchbook.report.run import Run, load_run
from benchbook.sweep.reproduction import mismatches, other_requests, recreated
from benchbook.terminal import say
from benchbook.terms.errors import ExperimentError
from benchbook.terms.exit_codes import FAILED, NO_ANSWER, OK
from benchbook.terms.wording import counted

Measure = Callable[[Path, Sequence[str]], Run]  # what an experiment file asks, of the cases that fit a pattern


def reproduce(run: str, case: str, results: Path, only_look: bool, measure: Measure, console: Console) -> int:
    """Make `run` again, or those of its cases that fit `case`, and print what agrees; return the exit code.

    With `only_look` nothing is measured: what does not match here is all that is told. Raises ExperimentError for a run
    that cannot be made again.
    """
    store = Store.open(run, results)
    there = load_run(store.run_dir)
    asked = _asked(there, case)
    if only_look:
        with tempfile.TemporaryDirectory() as folder:
            _print_mismatches(mismatches(store, recreated(store, Path(folder)), asked), console)
        return OK
    file = recreated(store, results)
    _print_mismatches(mismatches(store, file, asked), console)
    here = measure(file, sorted(asked) if case else ())
    records = [record for record in there.records if record.identity.case_id in asked]
    for sentence in other_requests(records, here.records):
        say(console, f"! {sentence}")
    return _print_agreements(records, here, run_name(here.run_dir, results), console)


def _asked(run: Run, pattern: str) -> frozenset[str]:
    names = list(dict.fromkeys(record.identity.case_id for record in run.records if record.is_measured))
    if not names:
        raise ExperimentError(f"{run.name} has no measured repeat: there is nothing to agree with")
    if not pattern:
        return frozenset(names)
    header = run.header
    searched = {case_id for find in header.finds for case_id in find.cases}
    searched |= set(header.search.cases.values() if header.search else ())
    return without_searched(fitting(pattern, names, run.name), searched, run.name)


def _print_mismatches(told: Sequence[str], console: Console) -> None:
    if not told:
        say(
            console,
            "All that the run's folder tells is here as it was there: packages, machine, launches, model, notebooks.",
        )
        return
    say(console, f"{counted(len(told), 'thing')} here as they were not there, any of which may change the numbers:")
    for sentence in told:
        say(console, sentence, "  ")


def _print_agreements(records: Sequence[Record], here: Run, name: str, console: Console) -> int:
    rows = agreements(records, here.records)
    cases: dict[str, list[Agreement]] = {}
    for row in rows:
        cases.setdefault(row.name, []).append(row)
    for case, found in cases.items():
        say(console, "")
        say(console, case)
        for row in found:
            say(console, row.sentence, "  ")
    missing = {record.identity.case_id for record in records} - {row.case_id for row in rows}
    for case_id in sorted(missing):
        say(console, f"{case_id}: nothing to compare, since not both runs have a number that may be believed")
    counts = {found: sum(row.found is found for row in rows) for found in Found}
    said = ", ".join(f"{number} {found}" for found, number in counts.items() if number)
    say(console, "")
    say(
        console,
        f"Of {counted(len(rows), 'number')}: {said or 'none'}. All together, an equal repetition is called different in at most 5 %.",
    )
    say(console, f"Measured again in {name}; both side by side: benchbook table {name}")
    if counts[Found.DIFFERS]:
        return FAILED
    return OK if counts[Found.AGREES] and not missing else NO_ANSWER
