"""The guard of a run: its items looked at before anything starts, and their file as it lies in the run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from benchbook.judge.exact import items_needed
from benchbook.measure.items import path_of, read_items
from benchbook.measure.task_items import task_items
from benchbook.plan.experiment import Experiment
from benchbook.plan.guard import ITEMS_FILE, ITEMS_NOTE, KEY, TASK, is_task, items_note
from benchbook.plan.order import Repeat
from benchbook.plan.requests import FOLDER
from benchbook.reading import read_bytes
from benchbook.records.files import make_folder, write_bytes, write_json
from benchbook.records.handover import GuardItems
from benchbook.records.store import Store
from benchbook.terms.errors import ExperimentError
from benchbook.terms.sent_beside import GUARD_AT_ONCE

_FILE = f"{FOLDER}/{ITEMS_FILE}"  # in the run's folder


def check_guard(experiment: Experiment) -> Iterator[str]:
    """Yield what is to be known of the guard's items; what is wrong with their file is a fault of the experiment's document."""
    doc, margin = experiment.document, experiment.guard.margin
    try:
        number = num_items(experiment)
    except ExperimentError as error:
        doc.faults.note(doc.error((KEY, "items"), str(error)))
        return
    if number < (needed := items_needed(margin)):
        yield (
            f"guard: {number:,} items cannot show that no more than {100 * margin:g} % of them are lost, however they are "
            f"answered: {needed:,} are the least, and more where answers differ"
        )


def guard_text(experiment: Experiment) -> str:
    """Return what the guard asks, beside what, and how often."""
    number = num_items(experiment)
    loads = ", ".join(sorted(experiment.guarded))
    task = _task_text(experiment)
    said = f" ({task})" if task else ""
    return (
        f"Guard: {number:,} items of {experiment.guard.items}{said} are asked of each launch in its first round, {GUARD_AT_ONCE} at once, "
        f"while a load like the one that was measured is sent once more, as the time counts it, or more often ({loads})"
    )


def _task_text(experiment: Experiment) -> str:
    """Return which task of which lm-eval the items are, and what is right in it; '' where they are none."""
    guard = experiment.guard
    return task_items(guard.items, guard.at_most).said if guard and is_task(guard.items) else ""


def num_items(experiment: Experiment) -> int:
    """Return how many items the guard asks, 0 without one; ExperimentError where their file is not as it must be."""
    return len(read_items(path_of(experiment.guard))) if experiment.guard else 0


def asks_items(experiment: Experiment, repeat: Repeat) -> bool:
    """Return whether a repeat asks the guard's items: the first of the case that its launch is asked beside."""
    return repeat.number == 0 and repeat.case.case_id in experiment.guarded


def items_sha256(experiment: Experiment) -> str | None:
    """Return the hash of the guard's file; None without a guard."""
    return hashlib.sha256(read_bytes(path_of(experiment.guard))).hexdigest() if experiment.guard else None


def freeze_items(experiment: Experiment, store: Store) -> None:
    """Copy the guard's items into the run, from where they are asked."""
    if experiment.guard:
        folder, content = make_folder(store.run_dir / FOLDER), read_bytes(path_of(experiment.guard))
        write_bytes(folder / ITEMS_FILE, content)
        note = items_note(experiment.document.at((KEY, "items")), experiment.guard.at_most, content)
        task = _task_text(experiment)
        write_json(folder / ITEMS_NOTE, {**note, TASK: task} if task else note)


def forget_items(store: Store) -> None:
    """Leave none of the items' text in a finished run: its records have their hash."""
    for name in (ITEMS_NOTE, ITEMS_FILE):
        (store.run_dir / FOLDER / name).unlink(missing_ok=True)


def items_for(experiment: Experiment, sha256: str, store: Store, folder: Path) -> GuardItems:
    """Return what the notebook of a repeat, which lies in `folder`, is told to ask."""
    path = os.path.relpath(store.run_dir / _FILE, folder)
    return GuardItems(path=path, sha256=sha256, margin=experiment.guard.margin)
