"""A run as it stands, read from its folder alone, again and again: what was read once and has not changed stays.

So a board can be closed and opened, here or on another machine that sees the folder, and takes next to nothing from what
is measured: a look at a hundred cases is a few milliseconds, every other second.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchbook.judge.headlines import headline_text
from benchbook.records import run_lock
from benchbook.records.attempts import names_in, standing
from benchbook.records.handover import RECORD_FILE
from benchbook.records.header import PlanRow, RunHeader, RunState
from benchbook.records.now import Now, read_now
from benchbook.records.record import Record
from benchbook.records.record_file import read_record
from benchbook.records.runs import CASES, RUN_FILE
from benchbook.records.store import Store
from benchbook.records.telemetry import TELEMETRY_FILE
from benchbook.terms.errors import StoreError

PERIOD_S = 2.0  # between two looks
_Stamp = tuple[int, int, int]
_CLOCKS_S = 2.0  # by which the clock of a file server may be behind


class State(StrEnum):
    """How far a case is."""

    UNDER_WAY = "under way"
    AGAIN = "to be tried again"
    SKIPPED = "skipped"
    WAITING = "waiting"
    MISSING = "missing"  # and nobody measures
    FAILED = "failed"
    MEASURED = "measured"


@dataclass(frozen=True)
class Seen:
    """What a board keeps of a repeat's record."""

    verdict: str  # or 'failed'
    codes: tuple[str, ...]  # the reasons of the verdict, or the cause of the failure
    figure: str  # '811.1 output tok/s'
    ended_utc: str
    telemetry: str  # where its samples lie; '' where there are none

    @classmethod
    def of(cls, record: Record, folder: str) -> Seen:
        """Return what is kept of `record`, which lies in `folder`."""
        codes = tuple(reason.code for reason in record.reasons if reason.severity != "note")
        path = f"{folder}/{TELEMETRY_FILE}"
        return cls(
            verdict="failed" if record.failure else record.verdict.value,
            codes=(record.failure.code,) if record.failure else codes,
            figure="" if record.failure else headline_text(record),
            ended_utc=record.ended_utc,
            telemetry=path if os.path.exists(path) else "",
        )


@dataclass(frozen=True)
class CaseNow:
    """A case as it stands."""

    case_id: str
    key: str
    planned: int
    state: State
    seen: Mapping[int, Seen]  # by repeat
    under_way: frozenset[int] = frozenset()

    @property
    def latest(self) -> Seen | None:
        """Return the repeat that ended last."""
        return max(self.seen.values(), key=lambda one: one.ended_utc, default=None)


@dataclass(frozen=True)
class Board:
    """A run as it stands."""

    name: str
    header: RunHeader
    cases: tuple[CaseNow, ...]  # of the plan, in its order
    now: Now | None  # what is worked on; None where nobody works
    at_s: float  # of the epoch, when it was looked at
    is_stopping: bool = False

    @property
    def is_running(self) -> bool:
        """Return whether the run is being measured."""
        return self.header.state is RunState.RUNNING

    @property
    def verdicts(self) -> Counter[str]:
        """Return how many repeats there are of each verdict, and how many failed."""
        return Counter(seen.verdict for case in self.cases for seen in case.seen.values())

    @property
    def num_planned(self) -> int:
        """Return how many repeats are planned by now."""
        return sum(case.planned for case in self.cases)

    @property
    def latest(self) -> Seen | None:
        """Return the repeat of all that ended last."""
        return max(filter(None, (case.latest for case in self.cases)), key=lambda one: one.ended_utc, default=None)


class Looker:
    """Looks at one run, as often as it is asked to."""

    def __init__(self, run_dir: Path) -> None:
        self._store = Store(run_dir)
        self._header = RunHeader()
        self._header_stamp: _Stamp | None = None
        self._seen: dict[str, tuple[_Stamp, Seen | None]] = {}  # by the record's path; None: damaged

    def look(self) -> Board:
        """Return the run as it stands."""
        store, header = self._store, self._header_now()
        control = store.control
        now = read_now(store.run_dir) if header.state is RunState.RUNNING else None
        skipped, again = control.skipped, control.again
        return Board(
            name=f"{store.run_dir.parent.name}/{store.run_dir.name}",
            header=header,
            cases=tuple(self._case(row, now, skipped, again) for row in header.plan if row.repeats),
            now=now,
            at_s=time.time(),
            is_stopping=control.is_stopping,
        )

    def _header_now(self) -> RunHeader:
        stamp = _stamp(f"{self._store.run_dir}/{RUN_FILE}")
        is_left = self._header.state is RunState.RUNNING and not run_lock.is_held(self._store.run_dir)
        if stamp != self._header_stamp or is_left:
            self._header, self._header_stamp = self._store.header(), stamp
        return self._header

    def _case(self, row: PlanRow, now: Now | None, skipped: frozenset[str], again: frozenset[str]) -> CaseNow:
        folder, seen, under_way = f"{self._store.run_dir}/{CASES}/{row.case_key}", {}, set()
        for name in {name.partition(",")[0] for name in names_in(folder)}:
            number = int(text) if (text := name.removeprefix("repeat=")).isdecimal() else row.repeats
            if number < row.repeats:
                place = f"{folder}/{name}"
                found, is_over = self._record(place)
                if not is_over:  # of this try; an earlier one may have been measured
                    found, _ = self._record(standing(place))
                    if now and _is_open(place, now):
                        under_way.add(number)
                if found:
                    seen[number] = found
        asked = "skip" if row.case_key in skipped else "again" if row.case_key in again else ""
        state = _state(row, seen, bool(under_way), self._header.state is RunState.RUNNING, asked)
        return CaseNow(row.case_id, row.case_key, row.repeats, state, seen, frozenset(under_way))

    def _record(self, folder: str) -> tuple[Seen | None, bool]:
        """Return what stands in the record of `folder`, None where it is not whole, and whether there is one."""
        path = f"{folder}/{RECORD_FILE}"
        stamp = _stamp(path)
        if stamp is None:
            return None, False
        if self._seen.get(path, (None, None))[0] != stamp:
            try:
                self._seen[path] = stamp, Seen.of(read_record(path), folder)
            except StoreError:
                self._seen[path] = stamp, None
        return self._seen[path][1], True


def _state(row: PlanRow, seen: Mapping[int, Seen], is_open: bool, is_running: bool, asked: str) -> State:
    if is_open:
        return State.UNDER_WAY
    if asked == "again" and is_running:
        return State.AGAIN
    if len(seen) < row.repeats:
        return State.SKIPPED if asked == "skip" else State.WAITING if is_running else State.MISSING
    return State.FAILED if any(one.verdict == "failed" for one in seen.values()) else State.MEASURED


def _is_open(folder: str, now: Now) -> bool:
    """Return whether the repeat of `folder`, which has no record, was begun by the runner of `now`."""
    try:
        return os.stat(folder).st_mtime >= now.began_s - _CLOCKS_S
    except OSError:
        return False


def _stamp(path: str) -> _Stamp | None:
    """Return what changes when the file at `path` does; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
