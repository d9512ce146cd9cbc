"""What the tests of hostile answers share: the memory and the time that one took, and what counts as a flag."""

from __future__ import annotations

import threading
import time

import psutil
from benchbook.records.record import Record

MIB = 1 << 20


class Watch:
    """As a context manager: how long the block took (s), and by how much the largest process of ours grew (MiB).

    `root` is another process whose children count as well, each beyond what the root has, of which it is a fork.
    """

    def __init__(self, root: int | None = None) -> None:
        self.took_s = self.grew_mib = 0.0
        self._own, self._root = psutil.Process(), psutil.Process(root) if root else None
        self._base = self._own.memory_info().rss
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._start_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.took_s = time.monotonic() - self._start_s
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            grown = [self._own.memory_info().rss - self._base]
            for child in self._root.children(recursive=True) if self._root else ():
                try:
                    grown.append(child.memory_info().rss - self._root.memory_info().rss)
                except psutil.Error:  # it has ended
                    continue
            self.grew_mib = max(self.grew_mib, *(size / MIB for size in grown))


def is_flagged(record: Record) -> bool:
    """Return whether a record says that something is wrong with it, or what could not be looked at."""
    return record.verdict != "VALID" or bool(record.not_looked)
