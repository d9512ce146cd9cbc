"""All faults of one file, told together: each is noted where it is found, and reading goes on with the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from benchbook.terms.errors import ExperimentError

MAX_FAULTS = 20  # a reader who is shown more has not written an experiment

Where = tuple[str | int, ...]  # the way to a value, e.g. ("benchmarks", 0, "serve", "max_concurrency")

_Read = TypeVar("_Read")


class Fault(ExperimentError):
    """One refused value of a file, as one line of text."""

    def __init__(self, text: str, line: int, where: Where) -> None:
        super().__init__(text)
        self.line = line
        self.where = where


class Faults:
    """The faults of one file that were found so far."""

    def __init__(self) -> None:
        self._found: list[Fault] = []
        self._refused: set[Where] = set()
        self._above: set[Where] = set()  # the ways to all that holds a refused value

    def has(self, where: Where) -> bool:
        """Return whether the very value at `where` was refused."""
        return where in self._refused

    def has_within(self, where: Where) -> bool:
        """Return whether the value at `where` or a part of it was refused."""
        return where in self._refused or where in self._above

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the fault that ends the block, if one does, and go on behind it."""
        try:
            yield
        except Fault as fault:
            self.note(fault)

    def read(self, read: Callable[[], _Read], otherwise: _Read) -> _Read:
        """Return what `read` gives; `otherwise` where a fault ends it, which is noted."""
        with self.noted():
            return read()
        return otherwise

    def note(self, fault: Fault) -> None:
        """Keep `fault`, unless its value or a part of it was refused before: then it follows from that.

        Raises all that was found, as one ExperimentError, when that is enough for one reading.
        """
        if self.has_within(fault.where):
            return
        self._found.append(fault)
        self._refused.add(fault.where)
        self._above.update(fault.where[:end] for end in range(len(fault.where)))
        if len(self._found) >= MAX_FAULTS:
            self.raise_any()

    @property
    def texts(self) -> list[str]:
        """Return what was found, a line each."""
        return [str(fault) for fault in self._found]

    def raise_any(self) -> None:
        """Raise one ExperimentError with a line for each fault, in the order of the file; nothing when there is none."""
        if self._found:
            lines = [str(fault) for fault in sorted(self._found, key=lambda fault: fault.line)]
            more = [f"There may be more: these are the first {MAX_FAULTS}."] if len(lines) >= MAX_FAULTS else []
            raise ExperimentError("\n".join(lines + more))
