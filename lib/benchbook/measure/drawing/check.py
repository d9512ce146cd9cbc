"""The files of a set looked at, row by row, before anything is started: no vLLM is needed for it.

What is wrong is an ExperimentError of one line that names file and line. A file is held a row at a time.
"""

from __future__ import annotations

import os

from benchbook.measure.drawing.corpus import path_of
from benchbook.measure.drawing.datasets import usable_rows
from benchbook.measure.drawing.rows import last_line
from benchbook.measure.drawing.talks import talks
from benchbook.measure.drawing.text import check_text
from benchbook.measure.drawing.traces import arrivals
from benchbook.plan.requests import RequestSet
from benchbook.terms.errors import ExperimentError


def check_files(wanted: RequestSet, at_once: int) -> int | None:
    """Return how many different requests the set's file has; None where there is no end to them, or nobody knows.

    Raises ExperimentError where a row is not as it must be, and where there are fewer than `at_once`: those of one case.
    """
    if wanted.text:
        check_text(path_of(wanted.text))
    path, number = _counted(wanted)
    if number is not None and number < at_once:
        raise ExperimentError(too_few(path, number, at_once))
    return number


def too_few(path: str, number: int, asked: int) -> str:
    """Return what is said of a file that has `number` requests, and not those that are asked for."""
    where = f"{path}, line {last_line(path)}" if os.path.isfile(path) else path
    return f"{where}: ends after {number:,} requests, where {asked:,} different ones are asked for"


def _counted(wanted: RequestSet) -> tuple[str, int | None]:
    if wanted.kind == "trace":
        return wanted.trace, sum(1 for _ in arrivals(wanted.trace, window_s=wanted.window_s))
    if wanted.kind == "conversations":
        path = path_of(wanted.conversations.path)
        return path, sum(map(len, talks(path)))
    if wanted.kind == "dataset":
        path = path_of(wanted.path or "")
        return path, usable_rows(wanted.dataset, path, wanted.options)
    return "", None
