"""How a line of a figure looks, and how it is drawn, the same in every figure.

Colour never carries meaning alone: every line has its own marker, and launches or lengths their own dashes. A filled
mark is a VALID repeat, a hollow one SUSPECT, a cross INVALID; a cross counts in no mean.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, StrMethodFormatter

from benchbook.judge.loads import Load
from benchbook.records.record import Verdict
from benchbook.report.curves import Line
from benchbook.report.markup import figure_html
from benchbook.report.svg import Mark, tell
from benchbook.report.told import marks_of

WIDTH_IN = 8.6  # at 120 dots per inch a little wider than the report's column, so that text stays as large as its text
_LOOK = {  # seaborn's white grid, which ships with matplotlib
    "axes.edgecolor": "0.8",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 1.0,
    "grid.color": "0.9",
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.bottom": False,
    "ytick.left": False,
    "legend.fontsize": 10,
}
_COLOURS = ("#0173b2", "#de8f05", "#029e73", "#cc78bc", "#d55e00", "#ca9161", "#949494", "#56b4e9")  # colour-blind safe
_MARKERS = ("o", "s", "^", "D", "v", "P", "h", "*")
_DASHES: tuple[Any, ...] = (
    "-",
    "--",
    "-.",
    (0, (1, 1.2)),
    (0, (6, 1.5, 1, 1.5, 1, 1.5)),
    (0, (3, 1.5)),
    (0, (8, 2)),
    (0, (2, 3)),
)
_REFERENCE_DASH = (0, (1, 2))
_MAX_TICKS = 12
_HEADROOM = 1.08
_LEGEND_ROW_IN = 0.21  # at the legend's size of text
_LEFT_IN, _RIGHT_IN, _BOTTOM_IN, _TOP_IN, _GAP_IN = 1.0, 0.1, 0.6, 0.1, 0.2  # of panels
_LABEL_IN = -0.65  # from a panel to its label
_AHEAD = {(1, 1): 4, (1, 2): 1, (2, 2): 1, (4, 1): 1, (8, 1): 1}  # rows, columns: what a case or a report may draw
_TICKS_AHEAD = 8  # of an axis; it makes more where it needs them
_made_ahead: defaultdict[tuple[int, int], list[tuple[Figure, list[Axes]]]] = defaultdict(list)


@dataclass(frozen=True)
class Style:
    """The look of one line."""

    colour: Any
    marker: str
    dash: Any
    line: int  # its place in the legend


def canvas(rows: int, columns: int, height_in: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of the report's width with a grid of axes, row by row."""
    ready = _made_ahead[rows, columns]
    figure, axes = ready.pop() if ready else _new_canvas(rows, columns)
    figure.set_figheight(height_in)
    return figure, axes


def _new_canvas(rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(WIDTH_IN, WIDTH_IN), layout="constrained")  # pyplot would keep it until it is closed
        axes = figure.subplots(rows, columns, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    return figure, list(axes.flat)


def rehearse() -> None:
    """Find the fonts, and make figures ahead with their axes and ticks, a third of drawing one, for processes forked later.

    Each is given once.
    """
    figure, (axes,) = panels_below(1, 1.0)
    axes.plot([1, 2], [1, 2], label="0123456789")
    axes.set_xlabel("requests in flight (tok/s)")
    axes.set_ylabel("requests", fontsize=9)
    axes.legend(fontsize=9)
    figure.legend()
    figure_html(figure, "")
    for shape, number in _AHEAD.items():
        _made_ahead[shape] = [_new_canvas(*shape) for _ in range(number)]
        for axes in (axes for _, all_axes in _made_ahead[shape] for axes in all_axes):
            for axis in (axes.xaxis, axes.yaxis):
                axis.get_major_ticks(_TICKS_AHEAD)


def panels_below(
    number: int, panel_in: float, right_in: float = _RIGHT_IN, bottom_in: float = _BOTTOM_IN
) -> tuple[Figure, list[Axes]]:
    """Return a figure of the report's width with panels one below the other, their labels in line.

    Its margins are fixed, and every label must fit: to have matplotlib find them takes as long as all the drawing.
    """
    height_in = _TOP_IN + number * (panel_in + _GAP_IN) - _GAP_IN + bottom_in
    figure, all_axes = canvas(number, 1, height_in)
    figure.set_layout_engine(None)
    figure.subplots_adjust(
        left=_LEFT_IN / WIDTH_IN,
        right=1 - right_in / WIDTH_IN,
        bottom=bottom_in / height_in,
        top=1 - _TOP_IN / height_in,
        hspace=_GAP_IN / panel_in,
    )
    for axes in all_axes:
        axes.yaxis.set_label_coords(_LABEL_IN / (WIDTH_IN - _LEFT_IN - right_in), 0.5)
    return figure, all_axes


def styles_of(lines: Sequence[Line]) -> list[Style]:
    """Return a look for each line; where both vary, colours tell the launches and dashes the curves."""
    launches = list(dict.fromkeys(line.launch for line in lines))
    curves = list(dict.fromkeys(line.curve for line in lines))
    both_vary = len(launches) > 1 and len(curves) > 1
    styles = []
    for index, line in enumerate(lines):
        colour = launches.index(line.launch) if both_vary else index
        dash = curves.index(line.curve) if both_vary else index
        styles.append(
            Style(
                _COLOURS[colour % len(_COLOURS)], _MARKERS[index % len(_MARKERS)], _DASHES[dash % len(_DASHES)], index
            )
        )
    return styles


def draw_line(axes: Axes, line: Line, style: Style, key: str) -> None:
    """Draw the means of `key` with bars of one standard deviation, and a mark for every repeat, by load."""
    points = line.points(key)
    if points:
        stdevs = [math.nan if spread.stdev is None else spread.stdev for spread in points.values()]
        drawn = axes.errorbar(
            list(points),
            [spread.mean for spread in points.values()],
            yerr=None if all(map(math.isnan, stdevs)) else stdevs,
            color=style.colour,
            linestyle=style.dash,
            linewidth=1.6,
            elinewidth=1,
            capsize=3,
        )
        for artist in drawn.get_children():
            tell(artist, style.line)
    draw_repeats(axes, line, line.load.key, key, style, key)


def draw_repeats(axes: Axes, line: Line, x: str | float, y: str | float, style: Style, key: str) -> None:
    """Draw one mark a repeat at two columns or places: filled when VALID, hollow when SUSPECT, a cross when INVALID.

    Each says what `key` is of it and of its case.
    """
    rows = line.repeats
    columns = {name: rows[at] if isinstance(at, str) else at for name, at in (("x", x), ("y", y))}
    known = pd.DataFrame({"verdict": rows["verdict"], **columns}).dropna()
    verdicts, xs, ys = known["verdict"].to_numpy(), *(known[name].to_numpy("float64") for name in columns)
    marks = marks_of(line, key)
    for verdict in Verdict:
        chosen = verdicts == verdict.value
        if chosen.any():
            # Not `scatter`, which is for marks of many sizes and colours and takes longer to draw.
            (drawn,) = axes.plot(xs[chosen], ys[chosen], **_mark(style, verdict))
            tell(drawn, style.line, [marks[row] for row in known.index[chosen]])


def draw_mark(axes: Axes, point: tuple[float, float], style: Style, verdict: Verdict, mark: Mark) -> None:
    """Draw one mark that stands for several repeats, the way `draw_repeats` draws one of that verdict."""
    (drawn,) = axes.plot([point[0]], [point[1]], **_mark(style, verdict))
    tell(drawn, style.line, [mark])


def _mark(style: Style, verdict: Verdict) -> dict[str, Any]:
    """Return the look of a mark: filled when VALID, hollow when SUSPECT, a cross when INVALID."""
    usual = {"marker": style.marker, "color": style.colour, "markersize": 5.7}
    look = {
        Verdict.VALID: usual,
        Verdict.SUSPECT: {**usual, "markerfacecolor": "white"},
        Verdict.INVALID: {"marker": "x", "color": "black", "markersize": 7.5},
    }[verdict]
    return {**look, "linestyle": "none", "markeredgewidth": 1.3, "zorder": 3}


def draw_reference(axes: Axes, value: float, style: Style, verdict: Verdict) -> None:
    """Draw a dotted level across the figure that ends in the marker of the line it belongs to, hollow when SUSPECT."""
    level = axes.axhline(value, color=style.colour, linewidth=1.4, linestyle=_REFERENCE_DASH)
    end = {**_mark(style, verdict), "markersize": 6, "clip_on": False, "zorder": 4}
    for artist in (level, *axes.plot([1.0], [value], transform=axes.get_yaxis_transform(), **end)):
        tell(artist, style.line)


def draw_limit(axes: Axes, value: float) -> None:
    """Draw a limit that was asked for as a black dotted level."""
    axes.axhline(value, color="black", linewidth=1.2, linestyle=_REFERENCE_DASH)


def reference_handle(label: str, colour: Any = "0.35") -> Line2D:
    """Return the legend's entry for dotted levels."""
    return Line2D([], [], color=colour, linewidth=1.4, linestyle=_REFERENCE_DASH, label=label)


def load_axis(axes: Axes, load: Load, values: Iterable[float], label: str = "") -> None:
    """Make x the axis of a load with plain numbers at `values`, and let y start at 0.

    Requests in flight are doubled, so their axis is logarithmic. Rates begin at 0, as what is reached of them does.
    """
    ticks = sorted(set(values))
    if load.is_open:
        axes.set_xlim(0, ticks[-1] * _HEADROOM)
        apart = ticks[-1] / _MAX_TICKS
        ticks = [tick for tick, after in zip(ticks, [*ticks[1:], math.inf]) if after - tick >= apart]
    else:
        axes.set_xscale("log", base=2)
        axes.set_xlim(ticks[0] / 1.4, ticks[-1] * 1.4)
        step = -(-len(ticks) // _MAX_TICKS)
        ticks = ticks[::-1][::step][::-1]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: load.short(tick)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label or load.heading)
    from_zero(axes)


def highest(limit: float) -> float:
    """Return the highest mark, 1 where there is none: a run in which every request failed has nothing to draw."""
    return limit if math.isfinite(limit) and limit > 0 else 1.0


def from_zero(axes: Axes) -> None:
    """Let y start at 0, with room above the highest mark, and write its thousands with commas."""
    top = highest(axes.dataLim.ymax)
    axes.set_ylim(0, top * _HEADROOM)
    # Steps of 2.5 would be labelled 2, 5, 8, 10.
    axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10]))
    if top >= 10:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def legend_below(figure: Figure, lines: Sequence[Line], styles: Sequence[Style], extra: Sequence[Line2D] = ()) -> None:
    """Put the legend under the axes, where it covers no point; verdicts are explained only where they occur.

    Without `styles` the lines are named at the axes already.
    The figure grows by its rows, so that the axes keep their height.
    """
    handles = [
        Line2D([], [], color=style.colour, linestyle=style.dash, marker=style.marker, markersize=6, label=line.label)
        for line, style in zip(lines, styles)
    ]
    seen = {verdict for line in lines for verdict in line.repeats["verdict"].unique()}
    if Verdict.SUSPECT.value in seen:
        handles.append(
            Line2D(
                [],
                [],
                color="0.35",
                linestyle="none",
                marker="o",
                markerfacecolor="white",
                label="hollow: a SUSPECT repeat",
            )
        )
    if Verdict.INVALID.value in seen:
        handles.append(Line2D([], [], color="black", linestyle="none", marker="x", label="cross: INVALID, in no mean"))
    handles += extra
    if not handles:
        return
    widest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(len(handles), 4, 96 // (widest + 8)))
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + (rows - 1) * _LEGEND_ROW_IN)
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.2)
    for style, handle, label in zip(styles, legend.legend_handles, legend.get_texts()):
        tell(handle, style.line, is_key=True)
        tell(label, style.line, is_key=True)
