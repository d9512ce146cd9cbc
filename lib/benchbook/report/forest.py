"""The forest plot of a comparison: for every case and metric the ratio of two launches with its interval, and 1."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from benchbook.judge.claims import change_text
from benchbook.judge.compare import Comparison, Finding, Row
from benchbook.judge.rounds import median_pair
from benchbook.report.drawing import canvas
from benchbook.report.svg import Mark, tell
from benchbook.terms.wording import counted

MAX_ROWS = 30  # more are read in the table
_ROW_IN, _REST_IN = 0.23, 1.0
_FEW_TIMES = 3.0  # up to this ratio the axis is labelled in even steps
_ROOM = 1.06
_DECADES = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
_LOOKS = {  # a claim is filled; shape and colour say its direction
    Finding.BETTER: {"marker": "^", "color": "#0173b2", "label": "claimed: better"},
    Finding.WORSE: {"marker": "v", "color": "#d55e00", "label": "claimed: worse"},
    Finding.OPEN: {"marker": "o", "color": "0.35", "markerfacecolor": "white", "label": "hollow: no claim"},
    Finding.UNKNOWN: {"marker": "D", "color": "0.35", "markerfacecolor": "white", "label": "no interval to tell by"},
}


def forest_figure(comparison: Comparison) -> tuple[Figure, str] | None:
    """Return (figure, caption) of a comparison, headline metrics first; None where no case has a number on both."""
    rows = _chosen(comparison)
    if not rows:
        return None
    lines = _with_headings(rows)
    figure, (axes,) = canvas(1, 1, height_in=_REST_IN + _ROW_IN * len(lines))
    beside = blended_transform_factory(axes.transAxes, axes.transData)
    for place, (label, row) in enumerate(lines):
        if row is None:
            axes.axhspan(place - 0.5, place + 0.5, color="0.93")
            axes.text(0.01, place, label, transform=beside, va="center", fontsize=10, fontweight="bold", zorder=4)
        else:
            look = {key: value for key, value in _LOOKS[row.finding].items() if key != "label"}
            axes.plot(row.interval or [], [place] * (2 if row.interval else 0), color=look["color"], linewidth=1.6)
            (mark,) = axes.plot([row.ratio.ratio], [place], linestyle="none", markersize=6.5, zorder=3, **look)
            tell(mark, None, [_mark(row)])
            axes.text(1.02, place, change_text(row), transform=beside, va="center", fontsize=9)
    medians = [
        (median.ratio, place) for place, (_, row) in enumerate(lines) if row and (median := median_pair(row.pairs))
    ]
    axes.plot(
        *zip(*medians, strict=True),
        linestyle="none",
        marker="|",
        color="black",
        markersize=11,
        markeredgewidth=1.2,
        zorder=4,
    )
    axes.axvline(1.0, color="black", linewidth=1.2, linestyle=(0, (1, 2)), zorder=1)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), ["" if row is None else label for label, row in lines])
    is_mixed = not all(row.is_headline for row in rows)
    for label, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
        if row is not None and row.is_headline and (is_mixed or row.num_cases > 1):
            label.set_fontweight("bold")
    axes.grid(axis="y", visible=False)
    _ratio_axis(axes, rows)
    axes.set_xlabel(f"{comparison.other} / {comparison.base} (1: no difference)")
    _legend(figure, rows)
    return figure, _caption(comparison, rows)


def _mark(row: Row) -> Mark:
    return Mark(f"{row.name}\n{row.metric.heading}: {change_text(row)}\n{_LOOKS[row.finding]['label']}")


def _chosen(comparison: Comparison) -> list[Row]:
    rows = list(comparison.rows)
    if len(rows) > MAX_ROWS:
        rows = [row for row in rows if row.is_headline]
    return rows[:MAX_ROWS]


def _with_headings(rows: Sequence[Row]) -> list[tuple[str, Row | None]]:
    """Return (label, row) with (heading, None) above each case; above each metric where the cases have but one."""
    metrics = [f"{row.metric.heading} {'↑' if row.metric.higher_is_better else '↓'}" for row in rows]
    names = [(row.name, metric) for row, metric in zip(rows, metrics)]
    if len({row.name for row in rows}) == len(rows) > 1:
        names = [
            (f"{row.benchmark}: {metric}", row.name.removeprefix(f"{row.benchmark}, "))
            for row, metric in zip(rows, metrics)
        ]
    groups: dict[str, list[tuple[str, Row | None]]] = {}
    for (heading, label), row in zip(names, rows, strict=True):
        groups.setdefault(heading, [(heading, None)]).append((label, row))
    return [line for group in groups.values() for line in group]


def _ratio_axis(axes: Axes, rows: Sequence[Row]) -> None:
    """Make x a logarithmic axis that holds every ratio and interval: twice and half are equally far from 1."""
    ends = [1.0, *(end for row in rows for end in (*(row.interval or ()), row.ratio.ratio))]
    ends += [median.ratio for row in rows if (median := median_pair(row.pairs))]
    low, high = min(ends) / _ROOM, max(ends) * _ROOM
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    if high / low < _FEW_TIMES:
        steps = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(low, high)
        axes.xaxis.set_major_locator(FixedLocator([step for step in steps if low <= step <= high]))
    else:
        axes.xaxis.set_major_locator(FixedLocator([step for step in _DECADES if low <= step <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, rows: Sequence[Row]) -> None:
    found = {row.finding for row in rows}
    handles = [Line2D([], [], linestyle="none", markersize=6.5, **look) for key, look in _LOOKS.items() if key in found]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def _caption(comparison: Comparison, rows: Sequence[Row]) -> str:
    left = len(comparison.rows) - len(rows)
    unit, units = ("pair of rounds", "pairs of rounds") if comparison.is_paired else ("start", "starts")
    fewest, most = min(row.num_base for row in rows), max(row.num_base for row in rows)
    claims = "A claim allows for all comparisons, so an interval that leaves out 1 need not be one."
    with_interval = " with its own 95 % interval" if comparison.num_judged else ""
    sentences = [
        f"{comparison.other} against {comparison.base}: ratio of each metric{with_interval}, log axis.",
        "↑ more is better, ↓ less is better; bold: the headline metrics, chosen beforehand.",
        "A tick is the ratio of the median pair." if any(median_pair(row.pairs) for row in rows) else "",
        claims if comparison.num_judged else "No repeat tells an interval, so nothing is claimed.",
        f"{counted(most, unit, None if fewest == most else f'{fewest} to {most}', units)}.",
        f"{left} more rows are in the table." if left else "",
    ]
    return " ".join(filter(None, sentences))
