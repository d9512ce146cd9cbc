"""How each benchmark is shown, by its name: what its notebook draws and says of one measurement, and a report's own figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from benchbook.records.record import Record
from benchbook.report.repeat.figures import latency_figure, serve_figure, throughput_figure
from benchbook.report.repeat.length_figure import length_figure
from benchbook.report.repeat.readings import first_request_reading, latency_reading, serve_reading, throughput_reading
from benchbook.terms.benchmarks import FIRST_REQUEST, LATENCY, SERVE, THROUGHPUT

if TYPE_CHECKING:  # a notebook of one measurement needs none of what reads runs
    from benchbook.report.run import Run

Figured = tuple[Figure, str]  # with its caption
Raw = Mapping[str, Any]

# Of one measurement; None: there is nothing to draw.
FIGURES: dict[str, Callable[[Record, Raw], Figured] | None] = {
    SERVE.name: serve_figure,
    LATENCY.name: latency_figure,
    THROUGHPUT.name: throughput_figure,
    FIRST_REQUEST.name: None,
}
# Beside it, where requests differ among each other; what is drawn is None where all were alike.
MORE_FIGURES: dict[str, Callable[[Record, Raw], Figured | None]] = {SERVE.name: length_figure}
READINGS: dict[str, Callable[[Record, Raw], list[str]]] = {
    SERVE.name: serve_reading,
    LATENCY.name: latency_reading,
    THROUGHPUT.name: throughput_reading,
    FIRST_REQUEST.name: first_request_reading,
}


def _of_sets(run: Run) -> Figured | None:
    from benchbook.report.set_figure import sets_figure

    return sets_figure(run, SERVE.name)


def _of_given_sets(run: Run) -> Figured | None:
    from benchbook.report.set_figure import given_figure

    return given_figure(run, THROUGHPUT.name)


# Of all cases of a run, below their table; None: its numbers stand in the figures of serving's chapters, or nowhere.
REPORT_FIGURES: dict[str, Callable[[Run], Figured | None] | None] = {
    SERVE.name: _of_sets,
    LATENCY.name: None,
    THROUGHPUT.name: _of_given_sets,
    FIRST_REQUEST.name: None,
}
