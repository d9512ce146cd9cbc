"""What commands that measure have in common: the run, its report and its summary, and the question to somebody there."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from benchbook.commands.reports import write_report
from benchbook.system_faults import told_as
from benchbook.terminal import console as _console
from benchbook.terminal import go_on_without_output
from benchbook.terms import exit_codes
from benchbook.terms.errors import ExperimentError, StoreError

if TYPE_CHECKING:
    from benchbook.hosts.machine.cpu import CpuLook
    from benchbook.report.run import Run


def measured(
    file: Path,
    results: Path,
    *,
    only: Sequence[str] = (),
    sets: Sequence[str] = (),
    new: bool = False,
    share_gpu: bool = False,
    yes: bool = False,
    on: Path | None = None,
) -> Run:
    """Measure what the experiment in `file` lacks, have its report written and print the summary; return its run."""
    first_look = _first_look()

    from benchbook.stop import end_orphans
    from benchbook.sweep.progress import ConsoleProgress
    from benchbook.sweep.run import run_experiment

    options = {"only": only, "sets": sets, "new": new, "share_gpu": share_gpu, "first_look": first_look}
    console = _console()
    end_orphans(console)
    go_on_without_output()
    with ConsoleProgress(console) as progress:

        def confirm(told: str) -> bool:
            with progress.paused():
                return yes or confirmed(told)

        options |= {"meanwhile": _get_report_ready, "confirm": confirm, "yes": yes, "on": on}
        ended = run_experiment(file, results, progress, partial(write_report, results=results), **options)
        if ended.is_interrupted:
            raise typer.Exit(exit_codes.INTERRUPTED)
        with told_as(StoreError):
            from benchbook.report.run import load_run
            from benchbook.report.summary import print_summary

            judged = load_run(ended.store.run_dir)
    print_summary(judged, console)
    if ended.unwritten:
        raise ended.unwritten
    return judged


def confirmed(question: str) -> bool:
    """Return what somebody at the terminal answers; raise ExperimentError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise ExperimentError(f"nobody can be asked here, so add --yes to do it: {question}")
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise typer.Exit(exit_codes.INTERRUPTED) from None


def _first_look() -> CpuLook | None:
    """Look at the processors before the rest is imported, so that nobody waits to see whether the machine is quiet.

    None where nobody can look: the second look will tell.
    """
    with contextlib.suppress(Exception):  # whatever the process table answers
        from benchbook.hosts.machine import cpu

        return cpu.look([os.getpid()])
    return None


def _get_report_ready() -> None:
    """Import and compile what the end of a run takes, so that it has not to be waited for there."""
    importlib.import_module("benchbook.report.summary")
    importlib.import_module("benchbook.report.html").rehearse()
