"""Store: where a run's files lie, and the only code that writes records.

results/<experiment>/<run_id>/
    experiment.yaml  run.json  compare.ipynb  report.html
    launches/<launch>/           the hosts' logs
    cases/<case_key>/repeat=<n>/ record.json  raw.json  executed.ipynb  bench.log
results/<experiment>/latest -> <run_id>

A case key is the case's readable id and eight digits of its fingerprint: a record is found only by a case that
would measure the same thing. A failed attempt is moved to `repeat=<n>,attempt=<m>`, never deleted.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchbook import collector
from benchbook.errors import StoreError
from benchbook.records.files import make_folder, read_json, write_json
from benchbook.records.metrics import values_from_raw
from benchbook.records.record import SCHEMA_VERSION, Outcome, Record
from benchbook.records.runs import LATEST, RUN_FILE, find_run, forget_run, point_to
from benchbook.system_faults import line_of

# States of a run; measure/runner.py has the others. PARTIAL: what `run --only` asked for is measured, and more is left.
INTERRUPTED, RUNNING, PARTIAL = "interrupted", "running", "partial"
EXPERIMENT_FILE = "experiment.yaml"
LOCK_FILE = ".lock"
RECORD_FILE = "record.json"


def case_key(case_id: str, fingerprint: str) -> str:
    """Return the folder name of a case: 'eager,serve,...-3f9a1c20'."""
    return f"{case_id}-{fingerprint[:8]}"


def write_record(path: Path, record: Record) -> None:
    """Write one record, atomically."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path | str) -> Record:
    """Return the record in `path`; raise StoreError when it is missing, cut, or of another format."""
    try:
        with open(path, "rb") as stream:
            record = Record.model_validate_json(stream.read())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise StoreError(f"{path} is not a whole record: {where}{first['msg']}") from error
    if not 1 <= record.schema_version <= SCHEMA_VERSION:
        raise StoreError(
            f"{path} is a record of format {record.schema_version}; this benchbook reads 1 to {SCHEMA_VERSION}"
        )
    if not all(value is None or math.isfinite(value) for value in record.values.values()):
        raise StoreError(f"{path} holds a value that is no number")
    return record


@dataclass(frozen=True)
class Saved:
    """A record on disk, with vLLM's raw file beside it: what the measuring functions return to a notebook."""

    record: Record
    path: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of the notebook when it was measured

    def __repr__(self) -> str:
        return f"<{self.record.verdict.value} {self.record.benchmark} in {self.path.parent.name}/{self.path.name}>"

    def raw(self) -> dict[str, Any]:
        """Return vLLM's own result file."""
        return read_json(self.path.with_name(self.record.raw_file))


class Store:
    """One run's folder."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    @classmethod
    def create(cls, results_dir: Path, experiment: str) -> Store:
        """Make a new run folder, named by the UTC time, and point `latest` to it."""
        experiment_dir = make_folder(results_dir / experiment)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        for suffix in ("", *(f"-{number}" for number in range(2, 100))):
            run_dir = experiment_dir / (stamp + suffix)
            if not run_dir.exists():
                break
        make_folder(run_dir)
        point_to(experiment_dir / LATEST, run_dir.name)
        return cls(run_dir)

    @classmethod
    def open(cls, run: str | Path, results_dir: Path) -> Store:
        """Open the run that `run` names, see `runs.find_run`; raises ExperimentError where there is none."""
        return cls(find_run(run, results_dir))

    @property
    def run_id(self) -> str:
        """Return the run's id: its folder's name."""
        return self.run_dir.name

    @property
    def report_path(self) -> Path:
        """Return where the report of this run lies or will lie."""
        return self.run_dir / "report.html"

    def header(self) -> dict[str, Any]:
        """Return run.json: question, plan, state, provenance, times. A run that nobody holds is not running."""
        header = read_json(self.run_dir / RUN_FILE)
        if header.get("state") == RUNNING and not self._is_held():  # killed, or copied from where it was
            header["state"] = INTERRUPTED
        return header

    def write_header(self, header: dict[str, Any]) -> None:
        """Write run.json, atomically."""
        write_json(self.run_dir / RUN_FILE, header)

    def check_there(self) -> None:
        """Raise StoreError when the run's folder was deleted or moved since it was made."""
        if not (self.run_dir / RUN_FILE).is_file():
            raise StoreError(f"{self.run_dir} has gone; was it deleted while the run was going on?")

    def delete(self) -> None:
        """Delete the run's folder; raises StoreError while a benchbook writes it, and when it cannot be deleted."""
        try:
            with self.locked() as is_held:
                if not is_held and self.header().get("state") == RUNNING:
                    raise StoreError(f"whether {self.run_dir} is being written cannot be known here: delete it by hand")
                (self.run_dir / RUN_FILE).unlink()  # first: what is deleted in part is no run
                shutil.rmtree(self.run_dir)
            forget_run(self.run_dir)
        except OSError as error:
            raise StoreError(f"cannot delete {self.run_dir}: {error.strerror}") from error

    def forget_report(self) -> None:
        """Delete the report: the run is no longer the one that it tells of."""
        try:
            self.report_path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot delete {line_of(error)}") from error

    def launch_dir(self, launch: str) -> Path:
        """Return the folder for the logs of `launch`, made if need be."""
        return make_folder(self.run_dir / "launches" / launch)

    def repeat_dir(self, key: str, repeat: int) -> Path:
        """Return the folder of one repeat; it need not exist."""
        return self.run_dir.joinpath("cases", key, f"repeat={repeat}")

    def has_raw(self, key: str, record: Record) -> bool:
        """Return whether vLLM's own file lies beside this record, and is the one that its values come from."""
        try:
            raw = read_json(self.repeat_dir(key, record.identity.repeat) / (record.raw_file or ""))
            values = values_from_raw(record.benchmark, raw)
        except (StoreError, TypeError, AttributeError):
            return False
        # What vLLM only prints is in no file.
        return all(record.values.get(name) == value for name, value in values.items() if value is not None)

    def find(self, key: str, repeat: int) -> Record | None:
        """Return the whole record of this repeat, or None when it is missing, cut, of another format or another's."""
        try:
            record = read_record(self.repeat_dir(key, repeat) / RECORD_FILE)
        except StoreError:
            return None
        is_its_own = case_key(record.identity.case_id, record.identity.fingerprint) == key
        return record if is_its_own and record.identity.repeat == repeat else None

    def has_record_file(self, key: str, repeat: int) -> bool:
        """Return whether something lies where the record of this repeat belongs."""
        return (self.repeat_dir(key, repeat) / RECORD_FILE).exists()

    def save(self, key: str, record: Record) -> None:
        """Write the record of one repeat."""
        folder = make_folder(self.repeat_dir(key, record.identity.repeat))
        write_record(folder / RECORD_FILE, record)

    def log_of(self, record: Record) -> Path | None:
        """Return the log that tells most of why `record` has no number: the host's, or the benchmark's; None without one."""
        identity = record.identity
        repeat = self.repeat_dir(case_key(identity.case_id, identity.fingerprint), identity.repeat)
        host = "engine" if record.benchmark in ("latency", "throughput") else "server"
        logs = (
            [self.run_dir / "launches" / identity.launch / f"{host}.log"]
            if record.outcome is Outcome.HOST_FAILED
            else [repeat / "bench.log", repeat / "executed.ipynb"]
        )
        return next((path for path in logs if path.is_file()), None)

    def set_aside(self, key: str, repeat: int) -> int:
        """Move what a former attempt at this repeat left out of the way; return the number of the next attempt."""
        folder = self.repeat_dir(key, repeat)
        attempt = 1 + len(list(folder.parent.glob(f"repeat={repeat},attempt=*")))
        if not folder.exists():
            return attempt
        folder.rename(folder.with_name(f"repeat={repeat},attempt={attempt}"))
        return attempt + 1

    @collector.at_rest()
    def records(self) -> list[Record]:
        """Return every whole record of the final attempts, sorted by case and repeat."""
        found = []
        for path in self._record_files():
            try:
                found.append(read_record(path))
            except StoreError:
                continue  # counted as missing by whoever compares with the plan
        return found

    def count_measured(self) -> int:
        """Return how many repeats have a measured record, without validating each."""
        return sum(_outcome(path) == Outcome.MEASURED.value for path in self._record_files())

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold this run alone; raise StoreError when another process does. The lock ends with its process.

        Gives whether it is held: False where the file system has no locks, so that nothing keeps another process out.
        """
        try:
            descriptor = os.open(self.run_dir / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreError(f"cannot write {line_of(error)}") from error
        try:
            is_free = _is_free(descriptor, fcntl.LOCK_EX)
            if is_free is False:
                raise StoreError(
                    f"{self.run_dir} is being written by another benchbook; wait for it, or start afresh with --new"
                )
            yield is_free is True
        finally:
            os.close(descriptor)

    def _is_held(self) -> bool:
        """Return whether a process may hold this run: also where that cannot be known."""
        try:
            descriptor = os.open(self.run_dir / LOCK_FILE, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            return not _is_free(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def _record_files(self) -> list[str]:
        """Return the record files of the final attempts, sorted by case and repeat."""
        # Names from the folders' own lists: of ten thousand repeats, glob or Path would cost as much as reading them.
        folder = f"{self.run_dir}/cases"
        return [
            f"{folder}/{case}/{repeat}/{RECORD_FILE}"
            for case in _names(folder)
            for repeat in _names(f"{folder}/{case}")
            if repeat.startswith("repeat=") and ",attempt=" not in repeat
        ]


def _is_free(descriptor: int, kind: int) -> bool | None:
    """Lock a file and return True; False when another process holds it, None where locks cannot be had."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # Lustre as it is mounted by default, NFS without its lock service, ...
        return None
    return True


def _outcome(path: str) -> str | None:
    try:
        return read_json(Path(path)).get("outcome")
    except StoreError:
        return None  # still to come, or cut


def _names(folder: str) -> list[str]:
    """Return the sorted names in `folder`, none where it is no folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
