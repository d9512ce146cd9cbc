"""Store: where a run's files lie, and the only code that writes records.

results/<experiment>/<run_id>/
    experiment.yaml  run.json  compare.ipynb  report.html
    launches/<launch>/           the hosts' logs
    cases/<case_key>/repeat=<n>/ record.json  raw.json  executed.ipynb  bench.log
results/<experiment>/latest -> <run_id>

A case key is the case's readable id and eight digits of its fingerprint: a record is found only by a case that
would measure the same thing. What failed, or was disturbed, is moved to
`repeat=<n>,attempt=<m>` before the next attempt, and never deleted; it stands for its repeat until that has a record.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from benchbook import collector
from benchbook.reading import read_bytes, read_json
from benchbook.records.files import make_folder, write_json
from benchbook.records.handover import RECORD_FILE as RECORD_FILE
from benchbook.records.header import RunHeader, RunState, read_header
from benchbook.records.parts import Workload
from benchbook.records.raw import read_raw
from benchbook.records.record import Outcome, Record, verdict_of
from benchbook.records.runs import CASES, LATEST, RUN_FILE, find_run, forget_run, point_to
from benchbook.records.typed import Time, Versioned, refused
from benchbook.records.upgrade import RECORD_FORMAT, upgraded_record
from benchbook.system_faults import line_of
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import StoreError
from benchbook.terms.metrics import values_from_raw

EXPERIMENT_FILE = "experiment.yaml"
LOCK_FILE = ".lock"
_ATTEMPT = ",attempt="  # behind the name of a repeat's folder, and before the number of what was moved aside


class _Written(TypedDict):  # what a record that is read must have, and a published figure may not
    workload: Workload
    started_utc: Time
    ended_utc: Time


_WRITTEN = TypeAdapter(_Written)
_OF_TODAY = f'"schema_version": {RECORD_FORMAT}'.encode()  # as we write it: such a record needs no second look


def write_record(path: Path, record: Record) -> None:
    """Write one record, atomically."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path | str) -> Record:
    """Return the record in `path`; raise StoreError when it is missing, cut, ill-typed or of another format."""
    content = read_bytes(path)
    try:
        if _OF_TODAY not in content:
            content = _upgraded(content, path)
        record = Record.model_validate_json(content, strict=True)
        _WRITTEN.validate_python({name: getattr(record, name) for name in _Written.__annotations__})
    except ValidationError as error:
        raise StoreError(f"{path} is not a whole record: {refused(error)[0].text}") from error
    if record.is_measured and record.verdict is not (told := verdict_of(record.reasons)):
        raise StoreError(f"{path} is not a whole record: it is {record.verdict}, and its reasons make it {told}")
    lacking = [name for name in BENCHMARKS[record.benchmark].needed if name not in record.workload]
    if lacking:
        raise StoreError(f"{path} is not a whole record: workload.{lacking[0]} is missing")
    return record


def _upgraded(content: bytes, path: Path | str) -> bytes:
    """Return the record in `content`, of any format that there was, as one of today's; raise StoreError for others."""
    written = Versioned.model_validate_json(content).schema_version
    if not 1 <= written <= RECORD_FORMAT:
        raise StoreError(f"{path} is a record of format {written}; this benchbook reads 1 to {RECORD_FORMAT}")
    return to_json(upgraded_record(from_json(content)))


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
        return read_raw(self.path.with_name(self.record.raw_file))


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

    def read_header(self) -> tuple[RunHeader, list[str]]:
        """Return run.json as far as it is whole, and what is damaged. A run that nobody holds is not running."""
        header, damage = read_header(self.run_dir / RUN_FILE)
        if header.state is RunState.RUNNING and not self._is_held():  # killed, or copied from where it was
            header = header.model_copy(update={"state": RunState.INTERRUPTED})
        return header, damage

    def header(self) -> RunHeader:
        """Return run.json as far as it is whole: question, plan, state, provenance, times."""
        return self.read_header()[0]

    def write_header(self, header: RunHeader) -> None:
        """Write run.json, atomically."""
        path = self.run_dir / RUN_FILE
        if path.is_dir():
            path.rename(path.with_name(f"{RUN_FILE},damaged"))  # no file can take a folder's place
        write_json(path, header.model_dump(mode="json"))

    def check_there(self) -> None:
        """Raise StoreError when the run's folder was deleted or moved since it was made."""
        if not (self.run_dir / RUN_FILE).is_file():
            raise StoreError(f"{self.run_dir} has gone; was it deleted while the run was going on?")

    def delete(self) -> None:
        """Delete the run's folder; raises StoreError while a benchbook writes it, and when it cannot be deleted."""
        try:
            with self.locked() as is_held:
                if not is_held and self.header().state is RunState.RUNNING:
                    raise StoreError(f"whether {self.run_dir} is being written cannot be known here: delete it by hand")
                if (cases := self.run_dir / CASES).exists():
                    cases.rename(self.run_dir / "deleted")
                if not (self.run_dir / RUN_FILE).is_dir():  # in place of which a folder may lie
                    (self.run_dir / RUN_FILE).unlink(missing_ok=True)  # first: what is deleted in part is no run
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
        return self.run_dir.joinpath(CASES, key, f"repeat={repeat}")

    def folder_of(self, record: Record) -> Path:
        """Return the folder that `record` lies in: of its repeat, or of an attempt at it that was moved aside."""
        identity = record.identity
        final = self.repeat_dir(identity.case_key, identity.repeat)
        aside = Path(_aside(final, identity.attempt))
        return aside if aside.is_dir() else final

    def raw_fault(self, key: str, record: Record) -> str:
        """Return what is wrong with vLLM's own file beside this record, '' where the record's values come from it."""
        path = self.repeat_dir(key, record.identity.repeat) / Path(record.raw_file or "no raw file").name
        try:
            values = values_from_raw(record.benchmark, read_json(path))
        except StoreError as error:
            return str(error)
        # What vLLM only prints is in no file.
        others = [name for name, value in values.items() if value is not None and record.values.get(name) != value]
        others += [name for name in record.values if name not in values]
        return f"{path} is not what the record's {others[0]} comes from" if others else ""

    def find(self, key: str, repeat: int) -> Record | None:
        """Return the whole record of this repeat, or None when it is missing, cut, of another format or another's."""
        try:
            record = read_record(self.repeat_dir(key, repeat) / RECORD_FILE)
        except StoreError:
            return None
        return record if (record.identity.case_key, record.identity.repeat) == (key, repeat) else None

    def has_record_file(self, key: str, repeat: int) -> bool:
        """Return whether something lies where the record of this repeat belongs."""
        return os.path.lexists(self.repeat_dir(key, repeat) / RECORD_FILE)

    def save(self, key: str, record: Record) -> None:
        """Write the record of one repeat."""
        folder = make_folder(self.repeat_dir(key, record.identity.repeat))
        write_record(folder / RECORD_FILE, record)

    def log_of(self, record: Record) -> Path | None:
        """Return the log that tells most of why `record` has no number: the host's, or the benchmark's; None without one."""
        identity, repeat = record.identity, self.folder_of(record)
        host = BENCHMARKS[record.benchmark].host_kind
        logs = (
            [self.run_dir / "launches" / identity.launch / f"{host}.log"]
            if record.outcome is Outcome.HOST_FAILED
            else [repeat / "bench.log", repeat / "executed.ipynb"]
        )
        return next((path for path in logs if path.is_file()), None)

    def set_aside(self, key: str, repeat: int) -> int:
        """Move what a former attempt at this repeat left out of the way; return the number of the next attempt."""
        folder = self.repeat_dir(key, repeat)
        for above in (folder.parent.parent, folder.parent):
            if os.path.lexists(above) and not above.is_dir():
                above.rename(above.with_name(f"{above.name},damaged"))  # a file where a folder belongs
        attempt = 1 + max(_attempts(folder), default=0)  # some may be deleted
        if not os.path.lexists(folder):
            return attempt
        folder.rename(_aside(folder, attempt))
        return attempt + 1

    def earlier_attempts(self, key: str, repeat: int) -> list[Record]:
        """Return the whole records of this repeat that were moved aside, in order."""
        folder, found = self.repeat_dir(key, repeat), []
        for attempt in _attempts(folder):
            with suppress(StoreError):  # of what was interrupted there is none
                found.append(read_record(f"{_aside(folder, attempt)}/{RECORD_FILE}"))
        return found

    def records(self) -> list[Record]:
        """Return the whole record of each repeat, sorted by case and repeat; see read_records."""
        return self.read_records()[0]

    @collector.at_rest()
    def read_records(self) -> tuple[list[Record], list[str]]:
        """Return the whole record of each repeat, by case and repeat, and what is wrong with the others.

        That is its final attempt's; where that one was cut short, the last that was measured before. A record counts
        where it lies: a copy of it, in another case's or repeat's folder, is another's.
        """
        found, damage = [], []
        for case, repeat, folder in self._repeats():
            path = f"{folder}/{RECORD_FILE}"
            if not os.path.lexists(path):
                continue  # still to come, which whoever compares with the plan counts as missing
            try:
                record = read_record(path)
            except StoreError as error:
                damage.append(str(error))
                continue
            identity = record.identity
            if (identity.case_key, f"repeat={identity.repeat}") == (case, repeat):
                found.append(record)
            else:
                damage.append(f"{path} belongs elsewhere: it is of {identity.case_id} repeat {identity.repeat}")
        return found, damage

    def count_measured(self) -> int:
        """Return how many repeats have a measured record, without validating each."""
        return sum(_is_measured(folder) for _, _, folder in self._repeats())

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

    def _repeats(self) -> Iterator[tuple[str, str, str]]:
        """Yield each repeat, sorted: the names of its case's folder and of its own, and the path that its record stands in."""
        # Names from the folders' own lists: of ten thousand repeats, glob or Path would cost as much as reading them.
        cases = f"{self.run_dir}/{CASES}"
        for case in _names(cases):
            for repeat in sorted({name.partition(",")[0] for name in _names(f"{cases}/{case}")}):
                if repeat.startswith("repeat="):
                    yield case, repeat, _standing(f"{cases}/{case}/{repeat}")


def _is_free(descriptor: int, kind: int) -> bool | None:
    """Lock a file and return True; False when another process holds it, None where locks cannot be had."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # Lustre as it is mounted by default, NFS without its lock service, ...
        return None
    return True


def _standing(folder: str) -> str:
    """Return the folder of a repeat's final attempt, or, while it has no record, of the last that was measured before."""
    if os.path.lexists(f"{folder}/{RECORD_FILE}"):
        return folder
    before = (_aside(folder, attempt) for attempt in reversed(_attempts(folder)))
    return next((aside for aside in before if _is_measured(aside)), folder)


def _is_measured(folder: str) -> bool:
    try:
        return read_json(f"{folder}/{RECORD_FILE}").get("outcome") == Outcome.MEASURED.value
    except StoreError:
        return False  # still to come, or cut


def _aside(folder: Path | str, attempt: int) -> str:
    """Return where an attempt at the repeat of `folder` is moved to before the next one."""
    return f"{folder}{_ATTEMPT}{attempt}"


def _attempts(folder: Path | str) -> list[int]:
    """Return the numbers of the attempts at the repeat of `folder` that were moved aside, ascending."""
    beginning = f"{os.path.basename(folder)}{_ATTEMPT}"
    names = _names(os.path.dirname(folder))
    numbers = [name.removeprefix(beginning) for name in names if name.startswith(beginning)]
    return sorted(int(number) for number in numbers if number.isdecimal())


def _names(folder: str) -> list[str]:
    """Return the sorted names in `folder`, none where it is no folder or may not be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
