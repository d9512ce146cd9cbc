"""The history of an experiment: sentences on its steps, a row a point, and a page with a figure for each series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchbook.judge.history import Point, Series
from benchbook.judge.spread import repeats_text
from benchbook.judge.steps import LEAST_LENGTH
from benchbook.report.drawing import canvas
from benchbook.report.html import write_page
from benchbook.report.markup import bullets, element, figure_html, join, table
from benchbook.terms.wording import counted, listed, number_text, percent_number, plus_minus_text, time_text

MAX_FIGURES = 24
SHORT_HEADINGS = ("run", "value", "95 %", "repeats", "version", "changed", "step")
HEADINGS = ("run", "began (UTC)", "launch", "case", "metric", "value", "95 %", "repeats", "version", "changed", "step")
_PANEL_IN, _MAX_TICKS = 2.7, 12
HOW = (
    "A point is a run: the mean over its repeats, or over its starts where it has several, with its 95 % interval. A step is "
    "where the runs before and after differ most, if by more than chance would make the largest of all such differences "
    "(simulated; all series of this page together find one where there is none in at most 5 of 100 pages). A single run at an "
    f"end is no level, and fewer than {LEAST_LENGTH} runs tell no step; a drift looks like steps. What the newest run differs "
    "by is asked of the gate."
)


def step_sentences(series: Sequence[Series]) -> list[str]:
    """Return a sentence for each step, the newest first, or that there is none, or that there are too few runs."""
    found = [
        (one.points[step.place].started_utc, _step_text(one, place))
        for one in series
        for place, step in enumerate(one.steps)
    ]
    if found:
        return [said for _, said in sorted(found, reverse=True)]
    most = max((len(one.points) for one in series), default=0)
    if most < LEAST_LENGTH:
        return [f"The longest series has {most} runs, and {LEAST_LENGTH} are the fewest that tell a step."]
    return [f"No step in any of {len(series)} series of up to {most} runs."]


def point_rows(series: Sequence[Series]) -> list[dict[str, Any]]:
    """Return a row a point, for programs: values as computed, None where there is none."""
    return [
        {
            "run": point.run,
            "started_utc": point.started_utc,
            "launch": one.launch,
            "case": one.case,
            "metric": one.metric.key,
            "unit": one.metric.unit,
            "mean": point.spread.mean,
            "low_95": point.interval[0] if point.interval else None,
            "high_95": point.interval[1] if point.interval else None,
            "repeats": point.spread.count,
            "starts": point.spread.num_starts,
            "suspect": point.num_suspect,
            "version": point.version,
            "changed": " ".join(point.changed),
            "step_ratio": next((step.ratio for step in one.steps if step.place == place), None),
        }
        for one in series
        for place, point in enumerate(one.points)
    ]


def point_texts(series: Sequence[Series]) -> list[tuple[str, ...]]:
    """Return the same for people, under HEADINGS."""
    return [
        (
            point.run,
            time_text(point.started_utc),
            one.launch,
            one.case,
            one.metric.heading,
            plus_minus_text(point.spread.mean, point.spread.stdev),
            f"{number_text(point.interval[0])} to {number_text(point.interval[1])}" if point.interval else "–",
            repeats_text(point.spread) + (f", {point.num_suspect} SUSPECT" if point.num_suspect else ""),
            point.version,
            ", ".join(point.changed),
            next((_signed(step.ratio) for step in one.steps if step.place == place), ""),
        )
        for one in series
        for place, point in enumerate(one.points)
    ]


def series_texts(one: Series) -> tuple[str, list[tuple[str, ...]]]:
    """Return a heading and the points of one series, as narrow as a terminal wants them, under SHORT_HEADINGS."""
    rows = [
        (row[0], row[5], row[6], _counts_text(point), *row[8:])
        for row, point in zip(point_texts([one]), one.points, strict=True)
    ]
    return f"{one.launch}, {one.case}: {one.metric.heading}", rows


def write_history(title: str, series: Sequence[Series], notes: Sequence[str], path: Path) -> None:
    """Write the page, one file that loads nothing; raise StoreError where it cannot be written."""
    figures = [figure_html(_figure(one), _caption(one), alt=_caption(one)) for one in series[:MAX_FIGURES]]
    left = len(series) - len(figures)
    more = [element("p", f"{left} more series are in the table.", "note")] if left > 0 else []
    parts = [
        element("div", bullets(step_sentences(series)), "answer"),
        element("p", HOW),
        *figures,
        *more,
        element("h2", "Every point"),
        table(HEADINGS, point_texts(series), (5,), "results"),
        bullets(notes),
    ]
    write_page(path, title, [join(parts)])


def _counts_text(point: Point) -> str:
    """Return '6 on 3 starts', '6 on 1 start, 2 SUSPECT', or '6' where nobody noted the starts."""
    starts = point.spread.num_starts
    where = f" on {counted(starts, 'start')}" if starts else ""
    return f"{point.spread.count}{where}" + (f", {point.num_suspect} SUSPECT" if point.num_suspect else "")


def _figure(series: Series) -> Figure:
    """Return the series: a mark and an interval a run, hollow where repeats are SUSPECT, and a level between steps."""
    figure, (axes,) = canvas(1, 1, _PANEL_IN)
    for place, point in enumerate(series.points):
        if point.interval:
            axes.plot([place, place], point.interval, color="#0173b2", linewidth=1.6)
        face = "white" if point.num_suspect else "#0173b2"
        axes.plot([place], [point.spread.mean], "o", color="#0173b2", markerfacecolor=face, zorder=3)
        if point.changed:
            axes.axvline(place - 0.5, color="0.6", linewidth=1.0, linestyle=(0, (1, 2)))
    edges = [0, *(step.place for step in series.steps), len(series.points)]
    for low, high in zip(edges, edges[1:]):
        level = sum(point.spread.mean for point in series.points[low:high]) / (high - low)
        axes.plot([low - 0.4, high - 0.6], [level, level], color="#de8f05", linewidth=1.4)
    shown = range(0, len(series.points), -(-len(series.points) // _MAX_TICKS))
    axes.set_xticks(list(shown), [_tick(series.points[place]) for place in shown])
    axes.set_xlim(-0.7, len(series.points) - 0.3)
    axes.set_ylabel(series.metric.heading)
    axes.grid(axis="x", visible=False)
    return figure


def _tick(point: Point) -> str:
    return f"{point.started_utc[5:10]}\n{point.version.partition('+')[0]}"


def _caption(series: Series) -> str:
    steps = [_step_text(series, place) for place in range(len(series.steps))]
    changes = any(point.changed for point in series.points)
    return " ".join(
        [
            f"{series.metric.label} of {series.launch}, {series.case}, in {len(series.points)} runs.",
            *(steps or ["No step."]),
            *(["Dotted: what a run was measured with changed, as the table tells."] if changes else []),
        ]
    )


def _step_text(series: Series, place: int) -> str:
    """Return 'Output throughput of eager (serve, …) steps by -4.8 % at 20261127-101500 (p 0.0002), with other packages.'."""
    step = series.steps[place]
    point = series.points[step.place]
    because = (
        f"; changed with it: {listed(point.changed)}" if point.changed else "; nothing that is recorded changed with it"
    )
    return (
        f"{series.metric.label} of {series.launch} ({series.case}) steps by {_signed(step.ratio)} at {point.run}, "
        f"{point.started_utc[:10]} (p {step.p_value:.2g}){because}."
    )


def _signed(ratio: float) -> str:
    share = percent_number(ratio - 1)
    return f"{share if share.startswith('-') else f'+{share}'} %"
