"""Commands of runs that lie in the results folder: list and sum up, look at their numbers, compare, delete."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbook.commands.arguments import ListFormatOption, ReportFormatOption, ResultsDir, RunName
from benchbook.commands.measured import confirmed
from benchbook.commands.reports import list_anew, sum_up, write_report
from benchbook.terminal import console as _console
from benchbook.terminal import say, shown
from benchbook.terms.errors import ExperimentError


def list_runs(format: ListFormatOption = "text", results: ResultsDir = Path("results")) -> None:
    """List the runs, newest last: their names, their state, how many repeats are measured, how long they took."""
    from benchbook.lists import print_runs

    print_runs(results, format, _console())


def report(run: RunName, format: ReportFormatOption = "html", results: ResultsDir = Path("results")) -> None:
    """Build the report of RUN again from its records: report.html, and table.csv beside it. Or sum it up to be pasted."""
    if format != "html":
        sum_up(run, results, format, _console())
        return
    from benchbook.notebooks.comparison import comparison_kernel

    with comparison_kernel():
        from benchbook.records.store import Store

        say(_console(), f"Report: {shown(write_report(Store.open(run, results).run_dir, results))}")


def show(run: RunName, results: ResultsDir = Path("results")) -> None:
    """Sum RUN up: how far its numbers may be believed, the answer, what failed and why, where report and logs are."""
    from benchbook.records.runs import run_name
    from benchbook.records.store import Store
    from benchbook.report.run import load_run
    from benchbook.report.summary import print_summary

    loaded, console = load_run(Store.open(run, results).run_dir), _console()
    say(console, f"{run_name(loaded.run_dir, results)} ({loaded.header.state}): {loaded.question}")
    print_summary(loaded, console)


def table(
    run: RunName,
    format: ListFormatOption = "text",
    columns: Annotated[
        str, typer.Option(help="These columns only, separated by commas: the names in --format csv.", metavar="A,B,…")
    ] = "",
    case: Annotated[
        str, typer.Option(help="The cases that fit, by name or by part: 'serve', 'max_concurrency=8', 'lengths=128*'.")
    ] = "*",
    launch: Annotated[str, typer.Option(help="The launches that fit: 'eager', 'a*'.")] = "*",
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="The cases that meet it, a number by its mean: 'max_concurrency>=8', 'median_ttft_ms<500', 'verdict=VALID'.",
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="Cases in its order; with a - before it, the largest first.")
    ] = "",
    results: ResultsDir = Path("results"),
) -> None:
    """Print the results of RUN: a row a case, mean and standard deviation; as csv or json a row a repeat, all columns."""
    from benchbook.records.store import Store
    from benchbook.report.run import load_run
    from benchbook.report.table_command import print_table

    chosen = [name.strip() for name in columns.split(",") if name.strip()]
    loaded = load_run(Store.open(run, results).run_dir)
    print_table(loaded, format, _console(), chosen, case, launch, where or (), sort)


def compare(
    run: RunName,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[A] [B] | RUN_B…",
            help="Launches of RUN: A the one compared with, B another, left out where RUN has two. Or other runs to lay beside "
            "RUN, imported ones too, 'run:launch', 'published/NAME'.",
        ),
    ] = None,
    other_run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Take B from this run instead; a drift between runs passes for a difference."),
    ] = None,
    format: Annotated[
        Literal["text", "csv", "json", "md"], typer.Option("--format", help="How to print it; caveats go to stderr.")
    ] = "text",
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of several runs, a page as well, which opens anywhere.")
    ] = None,
    results: ResultsDir = Path("results"),
) -> None:
    """Compare launch B with launch A of RUN: how much faster or slower, how sure that is, and what may be claimed.

    Or runs: what differs between them, what of them can be compared, and why the rest cannot.

    Repeats are paired by round: an experiment with both launches measures them in turn, A B B A, on the same requests.

    A claim allows for all the comparisons made; without one, it is said how large a difference would have been seen.
    """
    from benchbook.report.across_command import compare_runs, means_runs
    from benchbook.report.compare_command import print_comparison, two_launches

    names = names or []
    if not other_run and means_runs(run, names, results):
        compare_runs([run, *names], results, format, page, _console())
        return
    if len(names) > 2 or page:
        raise ExperimentError(
            "a page is of several runs" if page else f"{names[2]!r} is one launch too many: name two, or runs"
        )
    comparison = two_launches(run, other_run or run, *[*names, "", ""][:2], results)
    print_comparison(comparison, format, _console())


def history(
    experiment: Annotated[str, typer.Argument(help="The name of an experiment: the folder of its runs.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A metric to show; left out: the headline of each benchmark."),
    ] = None,
    format: ListFormatOption = "text",
    results: ResultsDir = Path("results"),
) -> None:
    """Show the runs of EXPERIMENT over time, with intervals and versions, and where they step; write history.html."""
    from benchbook.history import print_history

    print_history(experiment, metric or (), format, results, _console())


def remove(
    run: RunName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    results: ResultsDir = Path("results"),
) -> None:
    """Delete RUN with its records, notebooks and report. On a terminal it asks first; elsewhere it wants --yes."""
    from benchbook.records.store import Store

    store = Store.open(run, results)
    if not store.run_dir.is_relative_to(results.resolve()):
        raise ExperimentError(f"{store.run_dir} is not under {results.absolute()}: only runs there are deleted")
    if yes or confirmed(f"Delete {store.run_dir} with {store.count_measured()} measured repeats?"):
        store.delete()
        list_anew(results)
        say(_console(), f"Deleted {store.run_dir}.")


def open_(run: RunName = "", results: ResultsDir = Path("results")) -> None:
    """Print where the report of RUN lies, and show it in a browser where there is a display.

    Left out, it is the newest run that has finished.
    """
    from benchbook.records.named_runs import later_run, newest_run
    from benchbook.records.runs import run_name
    from benchbook.records.store import Store

    store = Store.open(run, results) if run else Store(newest_run(results))
    if not run and (later := later_run(store.run_dir, results)):
        name, state = run_name(later[0], results), later[1]
        print(f"{name} is newer, but {state}; what it has so far: benchbook report {name}", file=sys.stderr)
    if not store.report_path.is_file():
        raise ExperimentError(
            f"{store.run_dir} has no report yet; to write it: benchbook report {shown(store.run_dir)}"
        )
    say(_console(), str(shown(store.report_path)))
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        webbrowser.open(store.report_path.resolve().as_uri())
