"""Commands of an experiment file: write one, see what it would run, run it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbook.commands.arguments import AgreedLoad, ExperimentFile, OnOption, ResultsDir, Sets
from benchbook.commands.measured import measured
from benchbook.terminal import console as _console
from benchbook.terminal import say
from benchbook.terms import exit_codes


def new(
    name: Annotated[
        Path, typer.Argument(help="The experiment's name, mine for experiments/mine.yaml; or the file to write.")
    ],
    template: Annotated[
        Literal["serve", "compare", "capacity", "search", "chat"],
        typer.Option(
            help="What it asks: latency and throughput under load; which launch is faster; how many users within an SLO; "
            "which of many launches is the fastest; how chats and conversations are answered."
        ),
    ] = "serve",
) -> None:
    """Write a small experiment with a comment on each line, to be changed into one of your own."""
    from benchbook.plan.template import write_template

    file = write_template(name, template)
    say(_console(), f"Wrote {file}. To see what it would run: {shlex.join(['benchbook', 'plan', str(file)])}")


def plan(
    file: ExperimentFile,
    commands: Annotated[bool, typer.Option("--commands", help="Show vLLM's commands instead of the table.")] = False,
    sets: Sets = None,
    on: OnOption = None,
    results: ResultsDir = Path("results"),
) -> None:
    """Show what FILE would run: its cases, how often, how many prompts and why, about how long. Starts nothing."""
    from benchbook.sweep.preview import preview

    preview(file, results, _console(), commands, sets or (), on)


def run(
    file: ExperimentFile,
    results: ResultsDir = Path("results"),
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only the cases that fit, by name or by part: 'eager', 'max_concurrency=8'."
        ),
    ] = None,
    sets: Sets = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be run, as `benchbook plan` does, and start nothing.")
    ] = False,
    new: Annotated[bool, typer.Option("--new", help="Start afresh even if the newest run is unfinished.")] = False,
    share_gpu: Annotated[
        bool, typer.Option("--share-gpu", help="Measure although other processes use the GPU.")
    ] = False,
    yes: AgreedLoad = False,
    on: OnOption = None,
) -> None:
    """Measure FILE, write its report and sum it up. An unfinished run is continued: what is measured is kept.

    Ctrl-C once stops in order, twice at once; nothing measured is lost either way.
    """
    if dry_run:
        plan(file, sets=sets, on=on, results=results)
        return
    options = {"only": only or (), "sets": sets or (), "new": new, "share_gpu": share_gpu, "yes": yes, "on": on}
    judged, console = measured(file, results, **options), _console()

    from benchbook.report.summary import ending

    code, meaning = ending(judged)
    if judged.failures:
        say(console, f"To try again: {judged.header.command} (measures only what failed, or was disturbed)")
    elif code == exit_codes.FAILED:
        say(console, f"To measure all anew: {judged.header.command} --new")
    if code:
        say(console, f"Exit code {code}: {meaning}.")
    raise typer.Exit(code)
