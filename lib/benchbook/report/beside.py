"""Chapters of a large run's report made by other processes, while the notebook goes on with other cells.

A process is a fork of the kernel, so that it has the run. What it does not give, the cell makes itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from weakref import WeakKeyDictionary

from benchbook.other_processes import OtherProcess, num_others
from benchbook.report.markup import Html
from benchbook.report.run import Run

LEAST_CASES = 400  # of fewer, all is drawn in a second or two

Chapter = Callable[[Run], list[Html]]  # what a cell displays, one after the other


class _Beside:
    """Chapters that one other process makes in their order, and those made here while one of them is waited for.

    Several other processes make them all.
    """

    def __init__(self, run: Run, chapters: Sequence[Chapter], meanwhile: Sequence[Chapter], number: int) -> None:
        if number > 1:
            chapters, meanwhile = (*chapters, *meanwhile), ()
        self._meanwhile = list(meanwhile)
        self._made: dict[Chapter, list[Html]] = {}  # of those here
        shares = [chapters[first::number] for first in range(min(number, len(chapters)))]
        others = [OtherProcess([partial(chapter, run) for chapter in share]) for share in shares]
        self._found = {
            chapter: (other, place) for other, share in zip(others, shares) for place, chapter in enumerate(share)
        }

    def made(self, run: Run, chapter: Chapter) -> list[Html] | None:
        """Return a chapter once it is there; None where it is still to be made."""
        if chapter not in self._found:
            return self._made.pop(chapter, None)
        other, place = self._found[chapter]
        while self._meanwhile and other.is_to_come(place):
            ahead = self._meanwhile.pop(0)
            with suppress(Exception):  # its own cell will make it again, and tell
                self._made[ahead] = ahead(run)
        return other.result(place)


_beside: WeakKeyDictionary[Run, _Beside] = WeakKeyDictionary()


def begin(run: Run, beside: Sequence[Chapter], meanwhile: Sequence[Chapter] = ()) -> None:
    """Have chapters of a large run made beside, in this order, and those of `meanwhile` while one of them is waited for."""
    num_cases = len(run.cases)  # with the table that all chapters read, so that it is made once
    if num_cases >= LEAST_CASES and run not in _beside and (number := num_others()):
        with suppress(OSError):  # no process or no file is to be had
            _beside[run] = _Beside(run, beside, meanwhile, number)


def made(run: Run, chapter: Chapter) -> list[Html]:
    """Return `chapter(run)`: as it was made beside, or ahead, else made now."""
    beside = _beside.get(run)
    found = beside.made(run, chapter) if beside else None
    return chapter(run) if found is None else found
