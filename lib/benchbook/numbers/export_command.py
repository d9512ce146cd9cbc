"""`benchbook export`: a run as one file that goes anywhere, or its figures as other programs take them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from rich.console import Console

from benchbook.numbers import bundle, llmd, mlflow, tables
from benchbook.records.files import make_folder, write_json, write_text
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.report.run import load_run
from benchbook.terminal import say, shown, tell_damage
from benchbook.terms.errors import ExperimentError
from benchbook.terms.wording import counted

To = Literal["zip", "llm-d", "csv", "parquet", "mlflow"]
_ENDS = {"zip": ".zip", "csv": ".csv", "parquet": ".parquet", "llm-d": "-llm-d", "mlflow": "-mlflow"}


def export_run(run: str, results: Path, to: To, output: Path | None, with_requests: bool, console: Console) -> None:
    """Write the run that `run` names to `output`, by default a name of its own here; ExperimentError where that is there."""
    store = Store.open(run, results)
    target = output or Path(f"{store.run_dir.parent.name}-{store.run_dir.name}{_ENDS[to]}")
    if os.path.lexists(target):
        raise ExperimentError(f"{target} is there already: name another by --output")
    if to == "zip":
        manifest = bundle.pack(store, target, with_requests)
        left = f" Left out, with their hashes: {', '.join(manifest.left_out)}." if manifest.left_out else ""
        say(
            console,
            f"Wrote {shown(target)}: {counted(len(manifest.files), 'file')} with their SHA-256, no secret found.{left}",
        )
        say(console, f"Elsewhere: benchbook import {target.name}")
        return
    loaded = load_run(store.run_dir)
    tell_damage(loaded.damage)
    records = [record for record in loaded.records if record.is_measured]
    if not records:
        raise ExperimentError(f"{loaded.name} has no measured repeat: there is nothing to export")
    written = _write(records, to, target, loaded.name)
    left = len(loaded.records) - written
    without = f"; {counted(left, 'repeat')} that failed, or that it has no place for, left out" if left else ""
    say(console, f"Wrote {shown(target)}: {counted(written, 'repeat')}{without}.")


def _write(records: list[Record], to: To, target: Path, name: str) -> int:
    """Write `records` and return how many."""
    if to == "csv":
        write_text(target, tables.csv_text(records))
    elif to == "parquet":
        tables.write_parquet(records, target)
    elif to == "mlflow":
        mlflow.write_runs(records, target, name)
    else:
        records = [record for record in records if record.benchmark in llmd.WRITTEN]
        for record in records:
            file = make_folder(target) / f"{record.identity.case_key},repeat={record.identity.repeat}.json"
            write_json(file, llmd.written(record))
    return len(records)
