"""The items of a guard that are a task of lm-eval: read where lm-eval is installed, by a process of its own.

What it reads is kept as a file of items like any other, named after its content. A task is read once a process, and each
time anew: nobody else knows whether its data set is still the same.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchbook.hosts.process import shell
from benchbook.hosts.process.caches import built
from benchbook.hosts.process.pythons import HERE
from benchbook.hosts.process.scratch import scratch_dir
from benchbook.plan.guard import task_of
from benchbook.reading import read_bytes, read_json
from benchbook.terms.errors import ExperimentError

ITEMS_FILE, TOLD_FILE = "items.jsonl", "told.json"
LIMIT_S = 900.0  # a data set may have to be downloaded
_NOT_INSTALLED = "a task of lm-eval, which is not installed in {python}: `pip install lm_eval` there, or name a file of items (*.jsonl)"


@dataclass(frozen=True)
class TaskItems:
    """The items of a task."""

    path: Path
    said: str  # which task, of which lm-eval, and what is right in it


@functools.cache
def task_items(items: str, at_most: int | None) -> TaskItems:
    """Return the first `at_most` items of a task; ExperimentError of one line where it cannot be read, or said in items."""
    if not HERE.has_module("lm_eval"):
        raise ExperimentError(_NOT_INSTALLED.format(python=sys.executable))
    with tempfile.TemporaryDirectory(dir=scratch_dir()) as folder:
        said = _read(task_of(items), at_most, folder)
        content = read_bytes(Path(folder, ITEMS_FILE))
        name = f"lm_eval-{hashlib.sha256(content).hexdigest()[:16]}"
        kept = built(name, lambda partial: shutil.copy(Path(folder, ITEMS_FILE), partial))
    return TaskItems(kept / ITEMS_FILE, said)


def _read(task: str, at_most: int | None, folder: str) -> str:
    """Have the items of a task written into `folder`, and return what is said of them."""
    root = str(Path(__file__).parents[2])
    search_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "benchbook.measure.lm_eval_task", task, str(at_most or 0), folder],
            env={**shell.child_environment(), "PYTHONPATH": search_path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise ExperimentError(f"lm-eval did not read it within {LIMIT_S:g} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ExperimentError(f"lm-eval cannot read it: {last[:300]}")
    told = read_json(Path(folder, TOLD_FILE))
    if "refused" in told:
        raise ExperimentError(told["refused"])
    return told["said"]
