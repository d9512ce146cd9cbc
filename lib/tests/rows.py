"""Which rows of a table are tested: a sample in `make test`, all of them in `make test-full`.

A sample is the same each time, and each kind and each way through the code has a row in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

Row = TypeVar("Row")

IS_FULL = bool(os.environ.get("BENCHBOOK_TEST_FULL"))


def rows(every: Iterable[Row], quick: int | Iterable[Row]) -> list[Row]:
    """Return every row in `make test-full`; otherwise those of `quick`, or so many of them, evenly spread."""
    every = list(every)
    if isinstance(quick, int):
        quick = [every[place * len(every) // quick] for place in range(quick)]
    chosen = list(quick)
    assert all(row in every for row in chosen), "a sample of something else"
    return every if IS_FULL else [row for row in every if row in chosen]
