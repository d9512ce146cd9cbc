"""The log of a host, from where its current start begins."""

from __future__ import annotations

import re
from pathlib import Path

from benchbook.terms.redaction import TAIL_LINES

PART_BYTES = 2 << 20  # of a longer log, the beginning tells of the start and the end of the death


def tells(path: Path, telling: re.Pattern[str]) -> bool:
    """Return whether a log holds what its engine says of itself: one silenced by a level or a form of its own does not."""
    return bool(telling.search(HostLog(path, start_bytes=0).text()))


class HostLog:
    """One start's share of a log file, by default what is written from now on; earlier starts stand before it."""

    def __init__(self, path: Path, start_bytes: int | None = None) -> None:
        self.path = path
        size_bytes = path.stat().st_size if path.exists() else 0
        self._start_bytes = size_bytes if start_bytes is None else start_bytes

    def text(self) -> str:
        """Return the log of this start; of one over 4 MiB, the first and the last 2 MiB."""
        if not self.path.exists():
            return ""
        with open(self.path, "rb") as file:
            file.seek(self._start_bytes)
            head = file.read(PART_BYTES)
            file.seek(max(file.tell(), self.path.stat().st_size - PART_BYTES))
            return (head + file.read()).decode(errors="replace")

    def end(self) -> str:
        """Return the path and the last 30 lines, as errors show them."""
        return f"end of {self.path}:\n" + "\n".join(self.text().splitlines()[-TAIL_LINES:])
