"""What `report` and the end of a run write: a report, the list of all of them, a summary to be pasted elsewhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal

from rich.console import Console

from benchbook.terminal import say, shown, tell_damage
from benchbook.terms.errors import StoreError


def write_report(run_dir: Path, results: Path) -> Path:
    """Write the report of the run in `run_dir`, and the list of all runs where it is one of `results`; return its path."""
    from benchbook.notebooks.comparison import execute_comparison
    from benchbook.records.store import Store
    from benchbook.report.html import render_report

    report = Store(run_dir).report_path
    render_report(execute_comparison(run_dir), report)
    if run_dir.resolve().is_relative_to(results.resolve()):
        list_anew(results)
    return report


def list_anew(results: Path) -> None:
    """Write the page that lists the runs under `results`, as far as it can be: something else was asked for, and is done."""
    from benchbook.report.index import write_index

    with suppress(StoreError, OSError):
        write_index(results)


def sum_up(run: str, results: Path, summary_format: Literal["md", "png"], console: Console) -> None:
    """Print the summary of a run as Markdown, or write it as a picture beside its records."""
    from benchbook.records.store import Store
    from benchbook.report.paste import as_markdown, write_png
    from benchbook.report.run import load_run

    loaded = load_run(Store.open(run, results).run_dir)
    tell_damage(loaded.damage)
    if summary_format == "md":
        print(as_markdown(loaded), end="")
    else:
        say(console, f"Summary: {shown(write_png(loaded))}")
