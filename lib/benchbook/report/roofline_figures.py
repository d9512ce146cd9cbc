"""The figures of the roofline: all of it with the share of it that serving reaches, and one case over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator, PercentFormatter, StrMethodFormatter

from benchbook.judge.binding import roofline_values, share_of
from benchbook.judge.bounds import Roofline
from benchbook.judge.loads import IN_FLIGHT, load_text
from benchbook.records.record import Record
from benchbook.records.telemetry import TELEMETRY_FILE, read_telemetry
from benchbook.report.curves import OUTPUT_THROUGHPUT, Line
from benchbook.report.drawing import (
    Style,
    canvas,
    draw_limit,
    draw_line,
    draw_mark,
    legend_below,
    load_axis,
    reference_handle,
    styles_of,
)
from benchbook.report.figures import Figured
from benchbook.report.repeat.timeline import timeline_figure
from benchbook.report.roofline import BoundedCase
from benchbook.report.run import Run
from benchbook.report.svg import Mark, tell
from benchbook.report.told import case_anchor
from benchbook.terms.errors import StoreError

_SHARE = "output_throughput_share_of_limit"
_MAX_TRIED = 100  # repeats that are asked for their samples
_THIN = 0.8
_ROOM = 3.0  # around the points of a logarithmic axis
_FEW_DECADES = 100.0  # on an axis from 1 to less than this, one or two powers of ten tell no scale
_OF_EXPERTS = (
    "Marks are by the sure bound, as if all tokens took the same experts; thin lines end where they are by those that "
    "were counted, or by even routing. "
)


def roofline_figure(run: Run, cases: Sequence[BoundedCase]) -> Figured | None:
    """Draw the roofline with every serve case on it, and beside it the share of the ceiling by requests in flight."""
    served = [case for case in cases if case.record.row.role == "curve"]
    every = [_with_shares(run, line) for line in run.lines if line.load is IN_FLIGHT]
    drawn = {line: _cases_of(line, served) for line in every if line.points(_SHARE)}
    # Of odd records some repeats have a limit, and others none.
    lines = [line for line, found in drawn.items() if found]
    if not lines:
        return None
    figure, (roof, shares) = canvas(1, 2, height_in=4.4)
    styles = styles_of(lines)
    points: list[tuple[float, float]] = []
    for line, style in zip(lines, styles, strict=True):
        found = drawn[line]
        line_points = [_point(case) for case in found]
        points += line_points
        (drawn_line,) = roof.plot(*zip(*line_points), color=style.colour, linestyle=style.dash, linewidth=1.4)
        tell(drawn_line, style.line)
        for case, point in zip(found, line_points):
            draw_mark(roof, point, style, case.record.verdict, _mark(line, case, point))
            _draw_other_end(roof, shares, case, style)
        for case, point in ((found[0], line_points[0]), (found[-1], line_points[-1])):
            number = str(case.record.load.value)
            roof.annotate(number, point, xytext=(5, -11), textcoords="offset points", fontsize=9)
        draw_line(shares, line, style, _SHARE)
    _draw_roofs(roof, [case.roofline for case in served], points)
    draw_limit(shares, 1.0)
    load_axis(shares, IN_FLIGHT, {load for line in lines for load in line.loads})
    shares.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))
    shares.set_ylabel("Output throughput, share of the ceiling")
    legend_below(figure, lines, styles, [reference_handle("what the hardware allows", "black")])
    return figure, (
        "Attained FLOP/s (higher is better) by FLOP per byte read, both axes logarithmic, with the roofline of the "
        "device as a dotted line: rising where bandwidth binds, level where computing does. Right: output throughput "
        "as a share of its ceiling (%, higher is better) by requests in flight (log2 axis); dotted: the limit. "
        "Marks left: one a case, mean of its repeats, hollow where none is VALID, with the requests in flight at both "
        "ends; right: every repeat. "
        f"{_OF_EXPERTS if any(case.roofline.shape.experts for case in served) else ''}"
        f"Peaks: {served[0].roofline.peaks.source}."
    )


def timeline_of(run: Run) -> tuple[tuple[Figure, str, str] | None, list[str]]:
    """Draw the timeline of the serve repeat with most output tok/s: figure, caption, and a line to fold it behind.

    With it comes which files of faster repeats are damaged.
    """
    served = [record for record in run.records if record.row.role == "curve" and record.is_believed]
    ranked = sorted(served, key=lambda record: record.values.get(OUTPUT_THROUGHPUT) or 0.0, reverse=True)
    damage = []
    for record in ranked[:_MAX_TRIED]:
        if not all(run.has_file(record, name) for name in (TELEMETRY_FILE, record.raw_file or "")):
            continue  # a run that was copied without its bulk has none at all
        try:
            telemetry, raw = read_telemetry(run.run_dir / run.repeat_path(record, TELEMETRY_FILE)), run.raw(record)
        except StoreError as error:
            damage.append(str(error))
            continue
        drawn = timeline_figure(record, telemetry, raw)
        return (*drawn, f"Server and device over time: {_named(record)}") if drawn else None, damage
    return None, damage


def _with_shares(run: Run, line: Line) -> Line:
    """Return the line with the share of the ceiling that each of its repeats reached."""
    shares = [roofline_values(run.records[place])[_SHARE] for place in line.repeats.index]
    with_them = line.repeats.assign(**{_SHARE: pd.Series(shares, line.repeats.index, "float64")})
    return replace(line, repeats=with_them, _points={})


def _cases_of(line: Line, served: Sequence[BoundedCase]) -> list[BoundedCase]:
    """Return the cases of a line that have a place on the roofline."""
    case_ids = set(line.repeats["case_id"])
    return [case for case in served if case.record.identity.case_id in case_ids and _point(case) is not None]


def _point(case: BoundedCase) -> tuple[float, float] | None:
    """Return FLOP per byte, at its sure end, and attained FLOP/s of a case, over the whole of its measurement."""
    rate, request = case.record.values.get(OUTPUT_THROUGHPUT), case.roofline.sure.request
    if not rate:
        return None
    return request.flops / request.bytes, rate / case.roofline.output_len_tokens * request.flops


def _mark(line: Line, case: BoundedCase, point: tuple[float, float]) -> Mark:
    text = f"{line.where}, {load_text(case.record)}\n{point[1]:.3g} FLOP/s at {point[0]:.3g} FLOP per byte read"
    return Mark(text, case_anchor(case.record.identity.case_id))


def _draw_other_end(roof: Axes, shares: Axes, case: BoundedCase, style: Style) -> None:
    """Draw thin lines from both marks of a case to where they were with the experts of the likely bound."""
    roofline, (x, y) = case.roofline, _point(case)
    if roofline.likely is roofline.sure:
        return
    likely, load = roofline.likely.request, case.record.load.value
    reached = [share_of(case.record, bounds) for bounds in (roofline.sure, roofline.likely)]
    thin = {"color": style.colour, "linewidth": _THIN}
    ends = roof.plot([x, likely.flops / likely.bytes], [y, y], **thin)
    ends += shares.plot([load, load], [min(1.0, share) for share in reached], **thin)
    for end in ends:
        tell(end, style.line)


def _draw_roofs(axes: Axes, rooflines: Sequence[Roofline], points: Sequence[tuple[float, float]]) -> None:
    """Draw each different roof over the points, and let both logarithmic axes hold all of it."""
    roofs = {(each.peaks.bandwidth_bytes_s, each.flops_s) for each in rooflines}
    ridges = [flops_s / bandwidth for bandwidth, flops_s in roofs]
    low = min(x for x, _ in points) / _ROOM
    high = max([x for x, _ in points] + ridges) * _ROOM
    for bandwidth, flops_s in roofs:
        ridge = flops_s / bandwidth
        xs, ys = [low, ridge, high], [low * bandwidth, flops_s, flops_s]
        axes.plot(xs, ys, color="black", linewidth=1.2, linestyle=(0, (1, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(min(y for _, y in points) / _ROOM, max(flops_s for _, flops_s in roofs) * _ROOM)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())  # their labels lie upon each other; without any they only cost time
    if high / low < _FEW_DECADES:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_formatter(EngFormatter())
    bandwidth, level = max(roofs)
    middle = math.sqrt(low * level / bandwidth)
    axes.text(middle, middle * bandwidth * 1.4, "bandwidth", fontsize=9, color="0.35", ha="right")
    axes.text(high / 1.1, level * 1.2, "compute", fontsize=9, color="0.35", ha="right")
    axes.set_xlabel("FLOP per byte read")
    axes.set_ylabel("Attained FLOP/s")


def _named(record: Record) -> str:
    parts = (record.identity.launch, record.curve, load_text(record), f"repeat {record.identity.repeat}")
    return ", ".join(part for part in parts if part)
