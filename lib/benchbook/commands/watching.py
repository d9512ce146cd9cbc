"""Commands of a run under way: its board, and what one may ask of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbook.commands.arguments import ResultsDir, RunName
from benchbook.terminal import console as _console
from benchbook.terminal import say


def watch(
    run: RunName = "",
    stop: Annotated[
        bool, typer.Option("--stop", help="Have it end after the repeat under way; the same command goes on.")
    ] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Have nothing more measured of the cases that fit, by name or by part."),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Have what failed, or was skipped, of the cases that fit tried again."),
    ] = None,
    results: ResultsDir = Path("results"),
) -> None:
    """Show how far RUN is, until it ends: all cases, what is worked on, the time left, the latest numbers and verdicts.

    Left out, it is the run that is being measured, or the last. It reads the run's folder only, so it may be closed
    (Ctrl-C) and opened again, also on another machine that sees the folder. Without a terminal, a line for each thing.

    With --stop, --skip or --again it asks that of the run, which looks between two repeats, and ends.
    """
    from benchbook.report.board.command import ask, watch_run, watched_run

    run_dir, console = watched_run(run, results), _console()
    if stop or skip or again:
        for line in ask(run_dir, stop=stop, skip=skip or (), again=again or ()):
            say(console, line)
        return
    watch_run(run_dir, console)
