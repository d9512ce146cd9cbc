"""Store: where a run's files lie, and what is done with all of them.

results/<experiment>/<run_id>/
    experiment.yaml  run.json  compare.ipynb  report.html
    now.json  control/           while it is measured: what is worked on, what somebody asks (now.py, control.py)
    launches/<launch>/           the hosts' logs; of each place's, where several ran at once, below place=<n>/
    cases/<case_key>/repeat=<n>/ record.json  raw.json  executed.ipynb  bench.log
results/<experiment>/latest -> <run_id>

A case key is the case's readable id and eight digits of its fingerprint: a record is found only by a case that
would measure the same thing. What failed, or was disturbed, is moved to
`repeat=<n>,attempt=<m>` before the next attempt, and never deleted; it stands for its repeat until that has a record.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timezone
from pathlib import Path

from benchbook import collector
from benchbook.other_processes import shared
from benchbook.reading import read_json
from benchbook.records import run_lock
from benchbook.records.attempts import aside_of, attempts_at, is_measured, names_in, standing
from benchbook.records.control import Control
from benchbook.records.files import make_folder, remove_half_written, write_json
from benchbook.records.handover import RECORD_FILE
from benchbook.records.header import RunHeader, RunState, read_header
from benchbook.records.named_runs import find_run
from benchbook.records.record import Outcome, Record
from benchbook.records.record_file import read_record, write_record
from benchbook.records.runs import CASES, LATEST, RUN_FILE, forget_run, point_to
from benchbook.system_faults import line_of
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import StoreError
from benchbook.terms.metrics import values_from_raw

EXPERIMENT_FILE = "experiment.yaml"
BEST_FILE = "best.yaml"  # what a search recommends, for vLLM; the last of its comments is the command in one line
REPORT_FILE = "report.html"
MANY = 2_000  # records, which several processes read: fewer take a fraction of a second
TRIALS = "neighbours"  # what was measured to see what neighbours cost


class Store:
    """One run's folder. `place` is the part of the machine that this process measures on, where it is not all of it."""

    def __init__(self, run_dir: Path, place: int | None = None, cases: str = CASES) -> None:
        self.run_dir, self.place = run_dir, place
        self._cases = cases  # where records go, below the run's folder

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
        """Open the run that `run` names, see `named_runs.find_run`; raises ExperimentError where there is none."""
        return cls(find_run(run, results_dir))

    @property
    def run_id(self) -> str:
        """Return the run's id: its folder's name."""
        return self.run_dir.name

    @property
    def report_path(self) -> Path:
        """Return where the report of this run lies or will lie."""
        return self.run_dir / REPORT_FILE

    @property
    def control(self) -> Control:
        """Return what is asked of this run while it is measured."""
        return Control(self.run_dir)

    def at(self, place: int, *, is_trial: bool = False) -> Store:
        """Return the same run for who measures at `place`, with logs of its own; in a trial, with records apart too."""
        return Store(self.run_dir, place, f"{TRIALS}/place={place}" if is_trial else self._cases)

    def read_header(self) -> tuple[RunHeader, list[str]]:
        """Return run.json as far as it is whole, and what is damaged. A run that nobody holds is not running."""
        header, damage = read_header(self.run_dir / RUN_FILE)
        if header.state is RunState.RUNNING and not run_lock.is_held(
            self.run_dir
        ):  # killed, or copied from where it was
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
        return make_folder(_logs(self.run_dir, launch, self.place))

    def repeat_dir(self, key: str, repeat: int) -> Path:
        """Return the folder of one repeat; it need not exist."""
        return self.run_dir.joinpath(self._cases, key, f"repeat={repeat}")

    def folder_of(self, record: Record) -> Path:
        """Return the folder that `record` lies in: of its repeat, or of an attempt at it that was moved aside."""
        identity = record.identity
        final = self.repeat_dir(identity.case_key, identity.repeat)
        aside = Path(aside_of(final, identity.attempt))
        return aside if aside.is_dir() else final

    def raw_fault(self, key: str, record: Record) -> str:
        """Return what is wrong with vLLM's own file beside this record, '' where the record's values come from it."""
        path = self.repeat_dir(key, record.identity.repeat) / Path(record.raw_file or "no raw file").name
        try:
            values = values_from_raw(record.benchmark, read_json(path), record.host.counters)
        except StoreError as error:
            return str(error)
        # What vLLM only prints is in no file, and a record of before lacks the metrics that came later; not all of them.
        there = {name: value for name, value in values.items() if value is not None}
        told = [name for name in there if name in record.values]
        others = [name for name in told or there if record.values.get(name) != there[name]]
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
        name = f"{BENCHMARKS[record.benchmark].host_kind}.log"
        folder = _logs(self.run_dir, identity.launch, self.place)
        logs = (
            [folder / name, *sorted(folder.glob(f"place=*/{name}"), key=os.path.getmtime, reverse=True)]
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
        attempt = 1 + max(attempts_at(folder), default=0)  # some may be deleted
        if not os.path.lexists(folder):
            return attempt
        remove_half_written(folder)
        folder.rename(aside_of(folder, attempt))
        return attempt + 1

    def earlier_attempts(self, key: str, repeat: int) -> list[Record]:
        """Return the whole records of this repeat that were moved aside, in order."""
        folder, found = self.repeat_dir(key, repeat), []
        for attempt in attempts_at(folder):
            with suppress(StoreError):  # of what was interrupted there is none
                found.append(read_record(f"{aside_of(folder, attempt)}/{RECORD_FILE}"))
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
        repeats = list(self._repeats())
        parts = shared(self._read, repeats) if len(repeats) >= MANY else [self._read(repeats)]
        return [record for found, _ in parts for record in found], [line for _, damage in parts for line in damage]

    def _read(self, repeats: Sequence[tuple[str, str, str]]) -> tuple[list[Record], list[str]]:
        found, damage = [], []
        for case, repeat, folder in repeats:
            path = f"{folder}/{RECORD_FILE}"
            try:
                record = read_record(path)
            except StoreError as error:
                if os.path.lexists(path):  # else still to come, which whoever compares with the plan counts as missing
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
        return sum(is_measured(folder) for _, _, folder in self._repeats())

    def locked(self) -> AbstractContextManager[bool]:
        """Hold this run alone, see `run_lock.locked`: whether it is held, False where nothing can be locked."""
        return run_lock.locked(self.run_dir)

    def _repeats(self) -> Iterator[tuple[str, str, str]]:
        """Yield each repeat, sorted: the names of its case's folder and of its own, and the path that its record stands in."""
        # Names from the folders' own lists: of ten thousand repeats, glob or Path would cost as much as reading them.
        cases = f"{self.run_dir}/{self._cases}"
        for case in names_in(cases):
            for repeat in sorted({name.partition(",")[0] for name in names_in(f"{cases}/{case}")}):
                if repeat.startswith("repeat="):
                    yield case, repeat, standing(f"{cases}/{case}/{repeat}")


def _logs(run_dir: Path, launch: str, place: int | None) -> Path:
    folder = run_dir / "launches" / launch
    return folder if place is None else folder / f"place={place}"
