"""Where a series of runs steps from one level to another: the largest t over all places to cut it, with its exact null.

A series is cut where the two sides' means differ most, by Student's t with their pooled variance; the largest of so many
t is larger than one alone, so its null is that of the largest: simulated, once for each length, with normal values, of
which it depends on neither mean nor spread. A side has two values at least: one run by itself is no level. What is found is
cut again on each side. A drift looks like steps, and a run that stands apart like none.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

LEAST_SIDE, LEAST_LENGTH = 2, 5
SIMULATED = 20_000  # series of each length: p-values from 0.00005 on


@dataclass(frozen=True)
class Step:
    """A level that ends and another that begins."""

    place: int  # of the first value of the new level
    ratio: (
        float  # of the new level to the old one, by geometric means of the values between this step and its neighbours
    )
    p_value: float


def steps_of(values: Sequence[float], error: float) -> list[Step]:
    """Return the steps of positive `values`, in their order; in a level series there is one with a chance of `error`."""
    if len(values) < LEAST_LENGTH:
        return []
    logs = [math.log(value) for value in values]
    found = sorted(_cuts(logs, 0, error))
    edges = [0, *(place for place, _ in found), len(logs)]
    levels = [math.fsum(logs[low:high]) / (high - low) for low, high in zip(edges, edges[1:])]
    rises = [after - before for before, after in zip(levels, levels[1:])]
    return [Step(place, math.exp(rise), p) for (place, p), rise in zip(found, rises, strict=True)]


def _cuts(logs: Sequence[float], offset: int, error: float) -> list[tuple[int, float]]:
    """Return the places at which `logs` are cut, counted from `offset`, each with its p-value."""
    import numpy

    if len(logs) < LEAST_LENGTH or max(logs) == min(logs):
        return []
    squares = _largest(numpy.asarray([logs]))
    place, largest = int(squares[1][0]), float(squares[0][0])
    null = _null(len(logs))
    p_value = (1 + len(null) - int(numpy.searchsorted(null, largest))) / (len(null) + 1)
    if p_value > error:
        return []
    left = _cuts(logs[:place], offset, error)
    return [*left, (offset + place, p_value), *_cuts(logs[place:], offset + place, error)]


@functools.lru_cache(maxsize=256)
def _null(length: int) -> numpy.ndarray:
    """Return the sorted largest t² of so many level series."""
    import numpy

    drawn = numpy.random.default_rng(length).standard_normal((SIMULATED, length))
    return numpy.sort(_largest(drawn)[0])


def _largest(rows: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the largest t² over the cuts of each row, and the number of values before that cut."""
    import numpy

    length = rows.shape[1]
    before = numpy.arange(LEAST_SIDE, length - LEAST_SIDE + 1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    sums = numpy.cumsum(rows, axis=1)[:, before - 1]
    between = sums**2 * length / (before * (length - before))  # squares that the cut explains
    within = (rows**2).sum(axis=1, keepdims=True) - between
    with numpy.errstate(divide="ignore"):
        squares = between * (length - 2) / numpy.maximum(within, 0)
    return squares.max(axis=1), before[squares.argmax(axis=1)]
