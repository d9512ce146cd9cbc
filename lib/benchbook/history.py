"""`benchbook history`: the runs of one experiment over time, printed, and as a page beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchbook.judge.history import history_of
from benchbook.listing import ListFormat, aligned, for_programs, markdown
from benchbook.records.header import RunState
from benchbook.records.runs import no_runs_text, run_files
from benchbook.report.history import (
    HEADINGS,
    SHORT_HEADINGS,
    point_rows,
    point_texts,
    series_texts,
    step_sentences,
    write_history,
)
from benchbook.report.run import load_run
from benchbook.terminal import say, shown, tell_damage
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean
from benchbook.terms.metrics import metrics_named

PAGE = "history.html"


def print_history(
    experiment: str, metrics: Sequence[str], list_format: ListFormat, results_dir: Path, console: Console
) -> None:
    """Print the steps and points of the experiment's runs and write its page; raise ExperimentError where it has none."""
    chosen = [metric for metric, _ in metrics_named(metrics)]
    runs = [load_run(folder) for folder in _folders(experiment, results_dir)]
    tell_damage([line for run in runs for line in run.damage])
    runs = sorted(
        (run for run in runs if run.header.state is not RunState.RUNNING), key=lambda run: run.header.started_utc
    )
    series = history_of([(run.run_dir.name, run.records) for run in runs], chosen)
    if not series:
        raise ExperimentError(f"no run of {experiment!r} has a number to show over time")
    if list_format in ("csv", "json"):
        print(for_programs(point_rows(series), list_format), end="")
        return
    if list_format == "md":
        print(markdown(HEADINGS, point_texts(series), (5,)), end="")
        return
    for sentence in step_sentences(series):
        say(console, sentence)
    for heading, rows in map(series_texts, series):
        say(console, "")
        say(console, heading)
        print(aligned(SHORT_HEADINGS, rows, console.width if console.is_terminal else None, (1,), may_cut=0), end="")
    page = results_dir / experiment / PAGE
    remarks = [f"A remark on {run.name}: {run.remark}" for run in runs if run.remark]
    write_history(f"The history of {experiment}", series, remarks, page)
    say(console, f"Page: {shown(page)}")


def _folders(experiment: str, results_dir: Path) -> list[Path]:
    """Return the folders of the experiment's runs, oldest first."""
    found = [path.parent for path in run_files(results_dir)]
    folders = [folder for folder in found if folder.parent.name == experiment]
    if folders:
        return folders
    names = sorted({folder.parent.name for folder in found})
    if not names:
        raise ExperimentError(f"no experiment {experiment!r}: {no_runs_text(results_dir)}")
    hint = did_you_mean(alike(experiment, names)) or f"there are {', '.join(names[:5])}"
    raise ExperimentError(f"no experiment {experiment!r} under {results_dir.absolute()}; {hint}")
