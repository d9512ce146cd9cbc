"""An experiment from its file to its report: what `benchbook run` does between its options and its exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbook.hosts.machine.cpu import CpuLook
from benchbook.notebooks.kernels.source import warm_kernels
from benchbook.records.header import RunState
from benchbook.records.store import Store
from benchbook.sweep.best import write_best
from benchbook.sweep.consent import Confirm
from benchbook.sweep.earlier_runs import lacks_report, unreported_run
from benchbook.sweep.planning import due_again_text
from benchbook.sweep.progress import Listener
from benchbook.sweep.run_command import run_command
from benchbook.sweep.runner import Runner
from benchbook.sweep.session import prepare_run
from benchbook.system_faults import told_as
from benchbook.terminal import shown
from benchbook.terms.errors import ExperimentError, StoreError

WriteReport = Callable[[Path], object]  # of the run in that folder; it is the report's own room that can


@dataclass(frozen=True)
class Ended:
    """Where a run lies and how it ended."""

    store: Store
    unwritten: StoreError | None = None  # why there is no report: what was measured is summed up all the same
    is_interrupted: bool = False  # and the listener was told how to go on


def run_experiment(
    file: Path,
    results_dir: Path,
    listener: Listener,
    write_report: WriteReport,
    *,
    only: Sequence[str] = (),
    sets: Sequence[str] = (),
    new: bool = False,
    share_gpu: bool = False,
    first_look: CpuLook | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    confirm: Confirm = lambda told: True,
    yes: bool = False,
    on: Path | None = None,
) -> Ended:
    """Measure what the experiment in `file` still lacks and have its report written, or only that, where all is measured.

    `only`, `sets`, `new`, `share_gpu`, `first_look`, `meanwhile`, `confirm` and `on` are as in `prepare_run`; `yes` is said
    again by the command that goes on. Raises ExperimentError where nothing was started, StoreError where results cannot be
    kept.
    """
    with told_as(ExperimentError):  # nothing is started yet
        measured = None if new else unreported_run(file, results_dir, sets)
        if not measured:
            command = run_command(file, results_dir, only, share_gpu, yes, sets, on)
            options = {
                "new": new,
                "share_gpu": share_gpu,
                "only": only,
                "sets": sets,
                "first_look": first_look,
                "on": on,
            }
            told = {"command": command, "listener": listener, "meanwhile": meanwhile, "confirm": confirm}
            runner = prepare_run(file, results_dir, **options, **told)
    with told_as(StoreError):
        if measured:
            listener.say(lacks_report(measured, results_dir))
            return _reported(measured, listener, write_report)
        for_all = run_command(file, results_dir, share_gpu=share_gpu, yes=yes, sets=sets, on=on)
        return _measured(runner, for_all, write_report)


def _measured(runner: Runner, command_for_all: str, write_report: WriteReport) -> Ended:
    """Measure what `runner` has to and have the report written; an interrupt is told with how to go on."""
    store, listener = runner.store, runner.listener
    listener.working_on("getting kernels ready for the notebooks")
    with warm_kernels(store.run_dir, runner.plan.modules):
        state = runner.execute()
        if state is RunState.INTERRUPTED:
            again = due_again_text(store, runner.plan, runner.only)
            measured = f"{store.count_measured()} measured repeats are kept in {shown(store.run_dir)}"
            listener.say(f"Interrupted. {measured}{again and f' ({again})'}; to continue: {runner.command}")
            return Ended(store, is_interrupted=True)
        if state is RunState.PARTIAL:
            listener.say(f"Only what was asked for is measured; for the rest: {command_for_all}")
        return _reported(store, listener, write_report)


def _reported(store: Store, listener: Listener, write_report: WriteReport) -> Ended:
    """Have the report of a run that is measured written; an interrupt is told with how to have it written later."""
    listener.working_on("judging all repeats together, writing the report")
    try:
        with told_as(StoreError):
            write_best(store)
            write_report(store.run_dir)
    except StoreError as error:
        return Ended(store, unwritten=error)
    except KeyboardInterrupt:
        listener.say(f"Interrupted. All is measured; for the report: benchbook report {shown(store.run_dir)}")
        return Ended(store, is_interrupted=True)
    return Ended(store)
