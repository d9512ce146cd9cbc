"""The report's figures. Each function returns (figure, caption), or None where there is nothing to draw.

A figure is of one kind of load: a run of closed and of open loops has each twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from benchbook.judge.slo import limits_by_metric
from benchbook.report.captions import caption_of, doubt_text, is_earned_by, latency_note
from benchbook.report.curves import OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT, USER_SPEED, Curves, Line
from benchbook.report.drawing import (
    canvas,
    draw_limit,
    draw_line,
    draw_reference,
    draw_repeats,
    from_zero,
    highest,
    legend_below,
    load_axis,
    reference_handle,
    styles_of,
)
from benchbook.report.offline_levels import level_verdict
from benchbook.report.run import Run
from benchbook.report.sentences import GOODPUT
from benchbook.report.shown import Figured
from benchbook.report.strips import strips_figure
from benchbook.report.svg import tell
from benchbook.terms.metrics import BY_KEY

_LATENCY_KEYS = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms")
_E2EL = "mean_e2el_ms"
_MAX_POINT_LABELS = 24
_UNEARNED_GREY = "0.94"


def throughput_figure(run: Run, curves: Curves) -> Figured | None:
    """Draw output throughput (tok/s) by requests in flight, or what is answered (req/s) of the rate offered."""
    if curves.is_single:
        return _strips(run, curves, [OUTPUT_THROUGHPUT])
    return _reached_figure(run, curves) if curves.load.is_open else _throughput_figure(run, curves)


def _throughput_figure(run: Run, curves: Curves) -> Figured:
    """Draw output throughput by requests in flight, with the offline ceiling of the same lengths."""
    lines, ceiling = curves.lines, run.ceilings
    figure, (axes,) = canvas(1, 1, height_in=4.4)
    styles = styles_of(lines)
    for line, style in zip(lines, styles, strict=True):
        draw_line(axes, line, style, OUTPUT_THROUGHPUT)
        if line.key in ceiling:
            level = ceiling[line.key]
            verdict = level_verdict(run.measured_table, run.curve_of, "ceiling", line.key, level.num_prompts)
            draw_reference(axes, level.output_tok_s.mean, style, verdict)
    load_axis(axes, curves.load, curves.loads)
    axes.set_ylabel(BY_KEY[OUTPUT_THROUGHPUT].heading)
    has_ceiling = any(line.key in ceiling for line in lines)
    legend_below(figure, lines, styles, [reference_handle("throughput mode, offline")] if has_ceiling else [])
    note = "Dotted level: throughput mode, offline, same launch and lengths." if has_ceiling else ""
    note += doubt_text(run, "ceiling") if has_ceiling else ""
    return figure, caption_of(run, curves, [OUTPUT_THROUGHPUT], curves.load.by, note)


def _reached_figure(run: Run, curves: Curves) -> Figured:
    """Draw answered requests a second by the rate offered, and the goodput among them where limits were set."""
    keys = [key for key in (REQUEST_THROUGHPUT, GOODPUT) if any(line.points(key) for line in curves.lines)]
    keys = keys or [REQUEST_THROUGHPUT]
    figure, panels = canvas(1, len(keys), height_in=4.4)
    styles = styles_of(curves.lines)
    for axes, key in zip(panels, keys, strict=True):
        for line, style in zip(curves.lines, styles, strict=True):
            draw_line(axes, line, style, key)
        axes.plot([0, curves.loads[-1]], [0, curves.loads[-1]], color="0.35", linewidth=1.2, linestyle=(0, (1, 2)))
        load_axis(axes, curves.load, curves.loads)
        axes.set_ylabel(BY_KEY[key].heading)
    legend_below(figure, curves.lines, styles, [reference_handle("as much as is offered")])
    note = "Dotted diagonal: all that is offered is answered; a line that leaves it shows a server that falls behind."
    return figure, caption_of(run, curves, keys, curves.load.by, note)


def latency_figure(run: Run, curves: Curves) -> Figured | None:
    """Draw median and p99 of TTFT and TPOT (ms) by load, four panels, with the limits of the SLO."""
    if curves.is_single:
        return _strips(run, curves, _LATENCY_KEYS)
    lines = curves.lines
    figure, panels = canvas(2, 2, height_in=6.8)
    styles = styles_of(lines)
    limits = {key: limit for key, limit in limits_by_metric(run.slo).items() if key in _LATENCY_KEYS}
    unearned = {key for key in _LATENCY_KEYS if not is_earned_by(lines, key)}
    for axes, key in zip(panels, _LATENCY_KEYS, strict=True):
        for line, style in zip(lines, styles, strict=True):
            draw_line(axes, line, style, key)
        if key in limits:
            draw_limit(axes, limits[key])
        load_axis(axes, curves.load, curves.loads)
        axes.set_ylabel(BY_KEY[key].heading)
        if key in unearned:
            axes.set_facecolor(_UNEARNED_GREY)
    legend_below(figure, lines, styles, [reference_handle("limit of the SLO", "black")] if limits else [])
    return figure, caption_of(run, curves, _LATENCY_KEYS, curves.load.by, latency_note(limits, unearned))


def tradeoff_figure(run: Run, curves: Curves) -> Figured | None:
    """Draw output throughput of all users (tok/s) against the speed one user sees (tok/s, 1000 / median TPOT)."""
    drawn = {line: curve for line in curves.lines if (curve := _curve(line))}
    if not drawn or curves.is_single:
        return None
    figure, (axes,) = canvas(1, 1, height_in=4.8)
    lines = list(drawn)
    styles = styles_of(lines)
    label_all = sum(map(len, drawn.values())) <= _MAX_POINT_LABELS
    for (line, curve), style in zip(drawn.items(), styles, strict=True):
        for artist in axes.plot(*zip(*curve.values()), color=style.colour, linestyle=style.dash, linewidth=1.6):
            tell(artist, style.line)
        draw_repeats(axes, line, USER_SPEED, OUTPUT_THROUGHPUT, style, OUTPUT_THROUGHPUT)
        for load in curve if label_all else sorted({min(curve), max(curve)}):
            label = axes.annotate(
                curves.load.short(load),
                curve[load],
                xytext=(7, 5),
                textcoords="offset points",
                fontsize=9,
                zorder=5,
            )
            label.set_path_effects([withStroke(linewidth=2, foreground="white")])
            tell(label, style.line)
    axes.set_xlim(0, highest(axes.dataLim.xmax) * 1.1)
    from_zero(axes)
    axes.set_xlabel("Speed of one user (tok/s)")
    axes.set_ylabel(BY_KEY[OUTPUT_THROUGHPUT].heading)
    legend_below(figure, lines, styles)
    load = f"{curves.load.heading[0].lower()}{curves.load.heading[1:]}"
    note = f"Numbers at the points: {load}. Up and to the right is better."
    by = "the speed of one user (tok/s: 1000 / median TPOT in ms)"
    return figure, caption_of(run, curves, [OUTPUT_THROUGHPUT], by, note, bars="no bars")


def floor_figure(run: Run, curves: Curves) -> Figured | None:
    """Draw mean E2EL (ms) by load beside the floor, and beside an offline batch of as many as are in flight."""
    lines, batches = curves.lines, run.batch_latencies
    if not any(line.key in batches for line in lines):
        return None
    figure, (axes,) = canvas(1, 1, height_in=4.4)
    styles = styles_of(lines)
    sizes: set[int] = set()
    for line, style in zip(lines, styles, strict=True):
        draw_line(axes, line, style, _E2EL)
        by_size = batches.get(line.key, {})
        if 1 in by_size:
            draw_reference(
                axes, by_size[1].mean, style, level_verdict(run.measured_table, run.curve_of, "floor", line.key, 1)
            )
        if curves.load.is_open:
            continue  # a rate is no size of a batch
        sizes.update(by_size)
        (bars,) = axes.plot(
            list(by_size),
            [spread.mean for spread in by_size.values()],
            color=style.colour,
            linestyle="none",
            marker="_",
            markersize=22,
            markeredgewidth=3.5,
        )
        tell(bars, style.line)
    label = "Requests in flight, or batch size" if sizes else ""
    load_axis(axes, curves.load, sizes.union(curves.loads), label)
    axes.set_ylabel(BY_KEY[_E2EL].heading)
    bars = Line2D(
        [],
        [],
        color="0.35",
        linestyle="none",
        marker="_",
        markersize=16,
        markeredgewidth=3.5,
        label="latency mode, offline batch of that size",
    )
    legend_below(figure, lines, styles, [*([bars] if sizes else []), reference_handle("floor: a batch of one")])
    note = "Thick bars: mean latency of one offline batch of that size. " if sizes else ""
    note += "Dotted level: the floor, a batch of one."
    note += doubt_text(run, "floor")
    by = "requests in flight or batch size (log2 axis)" if sizes else curves.load.by
    return figure, caption_of(run, curves, [_E2EL], by, note)


def _curve(line: Line) -> dict[float, tuple[float, float]]:
    """Return (speed of one user, output throughput) of a line by rising load, where both are known."""
    speeds, totals = line.means(USER_SPEED), line.means(OUTPUT_THROUGHPUT)
    return {load: (speeds[load], totals[load]) for load in speeds if load in totals}


def _strips(run: Run, curves: Curves, keys: Sequence[str]) -> Figured:
    """Return the launches side by side at the one load that was measured: a curve of one point shows none."""
    limits = {key: limit for key, limit in limits_by_metric(run.slo).items() if key in keys}
    unearned = {key for key in keys if not is_earned_by(curves.lines, key)}
    figure = strips_figure(curves, keys, limits, unearned)
    by = f"launch and lengths, {curves.load.at(curves.loads[0])}" if len(curves.loads) == 1 else "launch and lengths"
    note = latency_note(limits, unearned)
    return figure, caption_of(run, curves, keys, by, note, bars="no bars", lines="Upright ticks")
