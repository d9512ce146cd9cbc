"""`benchbook watch`: the board of a run in a terminal, lines of what happens elsewhere, and what one may ask of the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.constrain import Constrain
from rich.live import Live

from benchbook.patterns import fitting
from benchbook.records.header import RunState
from benchbook.records.named_runs import find_run
from benchbook.records.runs import no_runs_text, run_files
from benchbook.records.store import Store
from benchbook.report.board.look import PERIOD_S, Board, Looker
from benchbook.report.board.rows import after_text, first_lines, new_lines
from benchbook.report.board.sparks import sparks_of
from benchbook.report.board.text import board_text
from benchbook.terminal import say
from benchbook.terms.errors import ExperimentError


def watched_run(run: str, results: Path) -> Path:
    """Return the folder of `run`; of '' that of the run that is being measured, or else was started last."""
    if run:
        return find_run(run, results)
    found = [(Store(path.parent).header(), path.parent) for path in run_files(results)]
    if not found:
        raise ExperimentError(no_runs_text(results))
    return max(found, key=lambda one: (one[0].state is RunState.RUNNING, one[0].started_utc))[1].resolve()


def ask(run_dir: Path, *, stop: bool = False, skip: Sequence[str] = (), again: Sequence[str] = ()) -> list[str]:
    """Ask something of the run in `run_dir`, and return what was asked, a line each; ExperimentError where it cannot be.

    `skip` and `again` are patterns for cases. Nothing is asked unless all of it can be.
    """
    store = Store(run_dir)
    board, control = Looker(run_dir).look(), store.control
    if not board.is_running:
        raise ExperimentError(f"{board.name} is {board.header.state}: nobody measures it; {after_text(board)}")
    keys = {case.case_id: case.key for case in board.cases}
    to_skip, to_try = (
        {case for pattern in each for case in fitting(pattern, keys, board.name)} for each in (skip, again)
    )
    told = []
    for case_id in filter(to_skip.__contains__, keys):
        control.skip(keys[case_id])
        told.append(f"nothing more is measured of {case_id} after the repeat under way")
    for case_id in filter(to_try.__contains__, keys):
        control.try_again(keys[case_id])
        told.append(f"what gave no number of {case_id} is tried again once all that is planned is measured")
    if stop:
        control.stop()
        told.append(f"{board.name} stops after the repeat under way; to go on: {board.header.command}")
    return told


def watch_run(run_dir: Path, console: Console) -> None:
    """Show the run in `run_dir` until it ends: live on a terminal, elsewhere a line for each thing that happens.

    Ctrl-C ends the watching, and nothing else.
    """
    looker = Looker(run_dir)
    try:
        if console.is_interactive:
            _live(looker, console)
        else:
            _lines(looker, console)
    except KeyboardInterrupt:
        again = f"benchbook watch {looker.look().name}"
        say(console, f"Nobody watches any more; the run goes on. To look again: {again}")


def _live(looker: Looker, console: Console) -> None:
    board = looker.look()
    with Live(_shown(board, console), console=console, auto_refresh=False) as live:
        while board.is_running:
            time.sleep(PERIOD_S)
            board = looker.look()
            live.update(_shown(board, console), refresh=True)


def _shown(board: Board, console: Console) -> Constrain:
    sparks = sparks_of(board.latest.telemetry) if board.latest else ()
    # Without Unicode an ellipsis is written as three dots, and a line may have two.
    width = console.width - (4 if console.options.ascii_only else 0)
    return Constrain(board_text(board, sparks, width, console.height), width)


def _lines(looker: Looker, console: Console) -> None:
    board = looker.look()
    for line in first_lines(board):
        say(console, line)
    while board.is_running:
        time.sleep(PERIOD_S)
        before, board = board, looker.look()
        for line in new_lines(before, board):
            say(console, line)
    say(console, f"{board.name} is {board.header.state}; {after_text(board)}")
