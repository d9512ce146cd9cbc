"""Chapters of a large run's report made by a second process, while the notebook goes on with other cells.

The process is a fork of the kernel, so that it has the run, and a report has the second core. Of the kernel's threads
it has none, and it needs none: it computes, draws, and writes what it made into files. What it does not give, for
whatever reason, the cell makes itself.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn
from weakref import WeakKeyDictionary

from benchbook.report.markup import Html
from benchbook.report.run import Run

LEAST_CASES = 400  # of fewer, all is drawn in a second or two
LIMIT_S = 120  # of a process that hangs: it ends itself

Chapter = Callable[[Run], list[Html]]  # what a cell displays, one after the other


class _Beside:
    """One process that makes chapters in their order, each into a file of its own, and those that wait to be made here."""

    def __init__(self, run: Run, chapters: Sequence[Chapter], meanwhile: Sequence[Chapter]) -> None:
        # Files, since a pipe would hold the process up until its first chapter is asked for.
        self._files = {chapter: tempfile.TemporaryFile() for chapter in chapters}
        self._coming, self._has_ended = list(chapters), False
        self._meanwhile, self._made = list(meanwhile), {}
        reading, writing = os.pipe()
        self._news = open(reading, "rb", buffering=0)  # a byte a chapter, and the end of them
        with open(writing, "wb", buffering=0) as news:
            self._pid = os.fork()
            if self._pid == 0:
                self._make(run, news.fileno())

    def _make(self, run: Run, news: int) -> NoReturn:
        """Make all chapters, and end without the kernel's clean-up."""
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LIMIT_S)
            sys.stdout = sys.stderr = open(os.devnull, "w")  # a kernel's own are the work of its threads
            for chapter, file in self._files.items():
                pickle.dump(chapter(run), file)
                file.flush()
                os.write(news, b".")
        finally:
            os._exit(0)

    def made(self, run: Run, chapter: Chapter) -> list[Html] | None:
        """Return a chapter once it is there, meanwhile making others; None where it is still to be made here."""
        if chapter not in self._files:
            return self._made.pop(chapter, None)
        while not self._has_ended and (chapter in self._coming or not self._coming):
            if self._meanwhile and not select.select([self._news], [], [], 0)[0]:
                self._make_ahead(run, self._meanwhile.pop(0))
            else:
                self._hear()
        if chapter in self._coming:
            return None
        self._files[chapter].seek(0)
        return pickle.load(self._files[chapter])

    def _make_ahead(self, run: Run, chapter: Chapter) -> None:
        with suppress(Exception):  # its own cell will make it again, and tell
            self._made[chapter] = chapter(run)

    def _hear(self) -> None:
        if self._news.read(1):
            del self._coming[0]
            return
        self._has_ended = True
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


_beside: WeakKeyDictionary[Run, _Beside] = WeakKeyDictionary()


def begin(run: Run, beside: Sequence[Chapter], meanwhile: Sequence[Chapter] = ()) -> None:
    """Have chapters of a large run made beside, in this order, and those of `meanwhile` while they are waited for."""
    num_cases = len(run.cases)  # with the table that all chapters read, so that it is made once
    if sys.platform == "linux" and num_cases >= LEAST_CASES and run not in _beside:
        with suppress(OSError):  # no process or no file is to be had
            _beside[run] = _Beside(run, beside, meanwhile)


def made(run: Run, chapter: Chapter) -> list[Html]:
    """Return `chapter(run)`: as it was made beside, else made now."""
    beside = _beside.get(run)
    found = beside.made(run, chapter) if beside else None
    return chapter(run) if found is None else found
