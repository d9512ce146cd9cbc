"""What a run is at, kept in its folder for whoever watches from elsewhere: a listener that passes all on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchbook.records.now import NOW_FILE, Left, Now, write_now
from benchbook.records.record import Record
from benchbook.sweep.progress import Listener
from benchbook.terms.errors import StoreError
from benchbook.terms.estimate import Estimate


@dataclass
class Noting:
    """A Listener of a run: what `listener` is told, it is told, and now.json says what is worked on."""

    listener: Listener
    run_dir: Path
    _now: Now = field(default_factory=lambda: Now(pid=os.getpid(), began_s=time.time(), since_s=time.time()))

    def begin(self, total: int, already_done: int, left: Estimate) -> None:
        """Pass it on, and note how long it may take."""
        self.listener.begin(total, already_done, left)
        self._note_left(left)

    def left(self, left: Estimate) -> None:
        """Pass it on, and note how long the rest may take."""
        self.listener.left(left)
        self._note_left(left)

    def say(self, text: str) -> None:
        """Pass on a line that stays."""
        self.listener.say(text)

    def more(self, number: int, why: str) -> None:
        """Pass on that more is to be measured."""
        self.listener.more(number, why)

    def working_on(self, what: str, at_most_s: float | None = None) -> None:
        """Pass it on, and note it."""
        self.listener.working_on(what, at_most_s)
        self._note(what=what, since_s=time.time(), at_most_s=at_most_s)

    def recorded(self, record: Record, wall_s: float, log: Path | None) -> None:
        """Pass on one more record."""
        self.listener.recorded(record, wall_s, log)

    @contextlib.contextmanager
    def while_it_runs(self) -> Iterator[None]:
        """Inside, now.json is there."""
        self._note()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (self.run_dir / NOW_FILE).unlink(missing_ok=True)

    def _note_left(self, left: Estimate) -> None:
        self._note(left=Left(seconds=left.seconds, later_s=left.later_s, is_known=left.is_known, at_s=time.time()))

    def _note(self, **changes: Any) -> None:
        self._now = self._now.model_copy(update=changes)
        with contextlib.suppress(StoreError):  # a full disk: whoever measures tells of it, and nobody waits for this
            write_now(self.run_dir, self._now)
