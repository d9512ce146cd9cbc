"""`benchbook compare`: two launches by name, of one run or of two, and the comparison printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchbook.judge.answerable import why_no_answer
from benchbook.judge.claims import headlines, tally
from benchbook.judge.compare import Comparison, compare
from benchbook.judge.comparison_caveats import caveats
from benchbook.launch_differences import difference_text
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.report.differences import (
    comparison_frame,
    how_to_read,
    labels,
    launches_of,
    num_sharing,
    table_headings,
    table_rows,
)
from benchbook.report.run import Run, load_run
from benchbook.report.table import render_table
from benchbook.terminal import say, tell_damage
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import no_such

TextFormat = Literal["text", "csv", "json", "md"]


def two_launches(run: str, other_run: str, base: str, other: str, results_dir: Path) -> Comparison:
    """Return launch `other` of `other_run` against launch `base` of `run`, paired by round when it is one run.

    A run of two launches needs no names: '' is the first, and the other one. Raises ExperimentError for a run or a launch
    that there is none of, a launch against itself, and nothing in common.
    """
    run_dir, other_dir = (Store.open(name, results_dir).run_dir for name in (run, other_run))
    is_one_run = run_dir == other_dir
    first = load_run(run_dir)
    second = first if is_one_run else load_run(other_dir)
    tell_damage([*first.damage, *(() if is_one_run else second.damage)])
    base, other = launch_names(launches_of(first), launches_of(second), base, other, is_one_run)
    ours, theirs = _launch(first, base), _launch(second, other)
    if is_one_run and base == other:
        raise ExperimentError(f"A and B are both {base!r}: name two launches, or give B another run with --other-run")
    names = labels((first, base), (second, other)) if is_one_run else (_name(first, base), _name(second, other))
    num_comparisons = num_sharing(launches_of(first), (base, other)) if is_one_run else 1
    comparison = compare(ours, theirs, names, is_paired=is_one_run, num_comparisons=num_comparisons)
    if not comparison.rows:
        reasons = " ".join(caveats(comparison)) or "neither has a record."
        raise ExperimentError(f"{names[0]} and {names[1]} have no number to compare: {reasons}")
    remarks = [f"A remark on {run.name}: {run.remark}" for run in (first, second) if run.remark]
    if no_answer := why_no_answer([*ours, *theirs]):
        remarks.insert(0, str(no_answer))
    difference = difference_text(first.settings(base), second.settings(other), (base, other) if is_one_run else names)
    return replace(comparison, remarks=tuple(dict.fromkeys(remarks)), difference=difference)


def launch_names(
    ours: Sequence[str], theirs: Sequence[str], base: str, other: str, is_one_run: bool
) -> tuple[str, str]:
    """Return the launches that are meant; a name that is left out is that of the only one it can be."""
    if not base and len(ours) == (2 if is_one_run else 1):
        base = ours[0]
    left = [name for name in theirs if not is_one_run or name != base]
    if not other and len(left) == 1:
        other = left[0]
    if not base or not other:
        if is_one_run and len(ours) == 1:
            alone = f"{ours[0]} is the only one here, and takes another run to be compared with"
            raise ExperimentError(f"name the launches to compare; {alone}")
        raise ExperimentError(f"name the launches to compare, such as {' '.join(ours[:2])}: A, and B against it")
    return base, other


def print_comparison(comparison: Comparison, text_format: TextFormat, console: Console) -> None:
    """Print the sentences, what limits them, and a row a case and metric; or the rows alone in another format."""
    if text_format != "text":
        for caveat in caveats(comparison):
            print(f"caveat: {caveat}", file=sys.stderr)
        print(render_table(comparison_frame(comparison), text_format), end="")
        return
    for line in filter(None, (*headlines(comparison), comparison.difference, tally(comparison))):
        say(console, line)
    for caveat in caveats(comparison):
        say(console, f"! {caveat}")
    _, *headings = table_headings(comparison)
    for case, rows in _by_case(table_rows(comparison)):
        shown = Table(box=None, pad_edge=False)
        for heading in headings:  # numbers stay whole; the name of the metric and the finding are broken between words
            is_text = heading in (headings[0], headings[-1])
            shown.add_column(heading, no_wrap=not is_text, justify="right" if heading in headings[1:3] else "left")
        for row in rows:
            shown.add_row(*map(Text, row))  # brackets are intervals, not markup
        say(console, "")
        say(console, case)
        console.print(shown)
    say(console, "")
    say(console, how_to_read(comparison))


def _by_case(rows: Sequence[Sequence[str]]) -> list[tuple[str, list[Sequence[str]]]]:
    """Return each case with its rows, from rows that name their case where it begins."""
    cases: list[tuple[str, list[Sequence[str]]]] = []
    for case, *cells in rows:
        if case:
            cases.append((case, []))
        cases[-1][1].append(cells)
    return cases


def _launch(run: Run, name: str) -> Sequence[Record]:
    launches = launches_of(run)
    if name not in launches:
        raise ExperimentError(f"{run.name}: {no_such('launch', name, launches)}")
    return run.comparable(name)


def _name(run: Run, launch: str) -> str:
    """Return a launch's name when two runs have one each."""
    return f"{launch} ({run.run_dir.name})"
