"""The newest run of an experiment, and what `run` does with it: goes on, writes its report, or leaves it as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchbook.plan.yamlfile import experiment_text
from benchbook.records.header import RunState
from benchbook.records.runs import newest_of, run_name
from benchbook.records.store import EXPERIMENT_FILE, Store
from benchbook.terms.errors import ExperimentError


def unfinished_run(results_dir: Path, experiment: str) -> Store | None:
    """Return the newest run of `experiment` when it is not finished, as far as its header tells, else None."""
    store, state = _newest_run(results_dir, experiment)
    return None if state is RunState.FINISHED else store


def finished_run(results_dir: Path, experiment: str) -> Store | None:
    """Return the newest run of `experiment` when it is finished, else None."""
    store, state = _newest_run(results_dir, experiment)
    return store if state is RunState.FINISHED else None


def unreported_run(file: Path, results_dir: Path, sets: Sequence[str] = ()) -> Store | None:
    """Return the newest run of `file` as it stands, with `sets`, when only its report is missing, else None."""
    store = finished_run(results_dir, file.stem)
    if store is None or store.report_path.exists():
        return None
    try:
        measured = (store.run_dir / EXPERIMENT_FILE).read_text(encoding="utf-8-sig")
        return store if measured == experiment_text(file, sets) else None
    except (OSError, UnicodeDecodeError, ExperimentError):
        return None


def ended_text(file: Path, results_dir: Path, sets: Sequence[str] = ()) -> str:
    """Return what `run` does with the newest run of `file` when it is finished, else ''."""
    if unreported := unreported_run(file, results_dir, sets):
        return lacks_report(unreported, results_dir)
    finished = finished_run(results_dir, file.stem)
    return not_extended(finished, results_dir) if finished else ""


def lacks_report(unreported: Store, results_dir: Path) -> str:
    """Return the sentence that says what `run` does with a run of which only the report is missing."""
    name = run_name(unreported.run_dir, results_dir)
    return f"{name} is measured, and only its report is missing: `run` writes it and measures nothing (--new would)."


def not_extended(finished: Store, results_dir: Path) -> str:
    """Return the sentence that says why `run` does not go on with a finished run."""
    return f"{run_name(finished.run_dir, results_dir)} is finished and is not extended: a new run keeps nothing of it."


def _newest_run(results_dir: Path, experiment: str) -> tuple[Store | None, RunState | None]:
    """Return the newest run of `experiment` and its state, (None, None) without one."""
    folder = newest_of(experiment, results_dir)
    if folder is None:
        return None, None
    store = Store(folder)
    return store, store.header().state
