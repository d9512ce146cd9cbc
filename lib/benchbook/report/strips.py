"""Launches or lengths side by side, one row each, where a single load was measured and there is no curve to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from benchbook.report.curves import Curves, Line
from benchbook.report.drawing import canvas, draw_repeats, highest, legend_below, reference_handle, styles_of
from benchbook.terms.metrics import BY_KEY

_ROW_IN, _REST_IN = 0.30, 1.0
_UNEARNED_GREY = "0.94"


def strips_figure(
    curves: Curves, keys: Sequence[str], limits: Mapping[str, float], unearned: Set[str] = frozenset()
) -> Figure:
    """Return one panel a metric: a row a line with a mark for every repeat and an upright tick at their mean."""
    lines, columns = curves.lines, min(2, len(keys))
    rows = -(-len(keys) // columns)
    figure, panels = canvas(rows, columns, height_in=rows * (_REST_IN + _ROW_IN * len(lines)))
    styles = styles_of(lines)
    for axes, key in zip(panels, keys, strict=True):
        for row, (line, style) in enumerate(zip(lines, styles, strict=True)):
            means = list(line.means(key).values())
            axes.plot(means, [row] * len(means), linestyle="none", marker="|", markersize=16, color=style.colour)
            draw_repeats(axes, line, key, float(row), style, key)
        if key in limits:
            axes.axvline(limits[key], color="black", linewidth=1.2, linestyle=(0, (1, 2)))
        axes.set_xlim(0, highest(axes.dataLim.xmax) * 1.08)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_yticks(range(len(lines)), _names(lines))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        if axes.dataLim.xmax >= 10:
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel(BY_KEY[key].heading)
        if key in unearned:
            axes.set_facecolor(_UNEARNED_GREY)
    for axes in panels[1::2]:
        axes.tick_params(labelleft=False)  # the rows are those of the panel beside it
    legend_below(figure, lines, (), [reference_handle("limit of the SLO", "black")] if limits else [])
    return figure


def _names(lines: Sequence[Line]) -> list[str]:
    """Return what tells the lines apart: their launches where these all differ."""
    launches = [line.launch for line in lines]
    return launches if len(set(launches)) == len(lines) else [line.label for line in lines]
