"""The report's figures. Each function returns (figure, caption), or None where the run has nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from benchbook.judge.sample import is_earned, percentile_of, samples_needed
from benchbook.records.metrics import BY_KEY
from benchbook.records.record import Verdict
from benchbook.report.drawing import (
    canvas,
    concurrency_axis,
    draw_limit,
    draw_line,
    draw_reference,
    draw_repeats,
    from_zero,
    highest,
    legend_below,
    reference_handle,
    styles_of,
)
from benchbook.report.lines import CONCURRENCY, OUTPUT_THROUGHPUT, USER_SPEED, Line
from benchbook.report.run import Run
from benchbook.report.settings import fixed_text

Figured = tuple[Figure, str]

_IN_FLIGHT = "Requests in flight (max_concurrency)"
_LATENCY_KEYS = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms")
_E2EL = "mean_e2el_ms"
_MAX_POINT_LABELS = 24
_UNEARNED_GREY = "0.94"


def throughput_figure(run: Run) -> Figured | None:
    """Draw output throughput (tok/s) by requests in flight, with the offline ceiling of the same lengths."""
    lines, ceiling = run.lines, run.ceilings
    if not lines:
        return None
    figure, (axes,) = canvas(1, 1, height_in=4.4)
    styles = styles_of(lines)
    for line, style in zip(lines, styles, strict=True):
        draw_line(axes, line, style, OUTPUT_THROUGHPUT)
        if line.key in ceiling:
            draw_reference(axes, ceiling[line.key].output_tok_s.mean, style)
    concurrency_axis(axes, _concurrencies(lines), _IN_FLIGHT)
    axes.set_ylabel(BY_KEY[OUTPUT_THROUGHPUT].heading)
    has_ceiling = any(line.key in ceiling for line in lines)
    legend_below(figure, lines, styles, [reference_handle("throughput mode, offline")] if has_ceiling else [])
    note = "Dotted level: throughput mode, offline, same launch and lengths." if has_ceiling else ""
    note += _doubt_text(run, "throughput") if has_ceiling else ""
    return figure, _caption(run, lines, [OUTPUT_THROUGHPUT], "requests in flight (log2 axis)", note)


def latency_figure(run: Run) -> Figured | None:
    """Draw median and p99 of TTFT and TPOT (ms) by requests in flight, four panels, with the limits of the SLO."""
    lines = run.lines
    if not lines:
        return None
    figure, panels = canvas(2, 2, height_in=6.8)
    styles = styles_of(lines)
    limits = {key: limit for key, limit in run.slo.items() if key in _LATENCY_KEYS}
    unearned = {key for key in _LATENCY_KEYS if not _is_earned(lines, key)}
    for axes, key in zip(panels, _LATENCY_KEYS, strict=True):
        for line, style in zip(lines, styles, strict=True):
            draw_line(axes, line, style, key)
        if key in limits:
            draw_limit(axes, limits[key])
        concurrency_axis(axes, _concurrencies(lines), "Requests in flight")
        axes.set_ylabel(BY_KEY[key].heading)
        if key in unearned:
            axes.set_facecolor(_UNEARNED_GREY)
    legend_below(figure, lines, styles, [reference_handle("limit of the SLO", "black")] if limits else [])
    notes = ["Dotted level: the SLO's limit."] if limits else []
    notes += [f"Grey panels: a p99 of fewer than {samples_needed(99)} requests, which is no tail."] if unearned else []
    return figure, _caption(run, lines, _LATENCY_KEYS, "requests in flight (log2 axis)", " ".join(notes))


def tradeoff_figure(run: Run) -> Figured | None:
    """Draw output throughput of all users (tok/s) against the speed one user sees (tok/s, 1000 / median TPOT)."""
    curves = {line: curve for line in run.lines if (curve := _curve(line))}
    if not curves:
        return None
    figure, (axes,) = canvas(1, 1, height_in=4.8)
    lines = list(curves)
    styles = styles_of(lines)
    label_all = sum(map(len, curves.values())) <= _MAX_POINT_LABELS
    for (line, curve), style in zip(curves.items(), styles, strict=True):
        axes.plot(*zip(*curve.values()), color=style.colour, linestyle=style.dash, linewidth=1.6)
        draw_repeats(axes, line.repeats, USER_SPEED, OUTPUT_THROUGHPUT, style)
        for concurrency in curve if label_all else sorted({min(curve), max(curve)}):
            label = axes.annotate(
                f"{concurrency}",
                curve[concurrency],
                xytext=(7, 5),
                textcoords="offset points",
                fontsize=9,
                zorder=5,
            )
            label.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.set_xlim(0, highest(axes.dataLim.xmax) * 1.1)
    from_zero(axes)
    axes.set_xlabel("Speed of one user (tok/s)")
    axes.set_ylabel(BY_KEY[OUTPUT_THROUGHPUT].heading)
    legend_below(figure, lines, styles)
    note = "Numbers at the points: requests in flight. Up and to the right is better."
    return figure, _caption(
        run, lines, [OUTPUT_THROUGHPUT], "the speed of one user (tok/s: 1000 / median TPOT in ms)", note, bars="no bars"
    )


def floor_figure(run: Run) -> Figured | None:
    """Draw mean E2EL (ms) by requests in flight beside the latency of an offline batch of as many."""
    lines, batches = run.lines, run.batch_latencies
    if not any(line.key in batches for line in lines):
        return None
    figure, (axes,) = canvas(1, 1, height_in=4.4)
    styles = styles_of(lines)
    sizes: set[int] = set()
    for line, style in zip(lines, styles, strict=True):
        draw_line(axes, line, style, _E2EL)
        by_size = batches.get(line.key, {})
        sizes.update(by_size)
        axes.plot(
            list(by_size),
            [spread.mean for spread in by_size.values()],
            color=style.colour,
            linestyle="none",
            marker="_",
            markersize=22,
            markeredgewidth=3.5,
        )
        if 1 in by_size:
            draw_reference(axes, by_size[1].mean, style)
    concurrency_axis(axes, _concurrencies(lines) | sizes, "Requests in flight, or batch size")
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
    legend_below(figure, lines, styles, [bars, reference_handle("floor: a batch of one")])
    note = "Thick bars: mean latency of one offline batch of that size. Dotted level: the floor, a batch of one."
    note += _doubt_text(run, "latency")
    return figure, _caption(run, lines, [_E2EL], "requests in flight or batch size (log2 axis)", note)


def _doubt_text(run: Run, benchmark: str) -> str:
    """Return ' 2 of 2 repeats of throughput mode are SUSPECT (…).' where a level rests on such; levels have no marks."""
    measured = [record for record in run.records if record.benchmark == benchmark and record.is_measured]
    doubted = [record for record in measured if record.verdict is Verdict.SUSPECT]
    codes = dict.fromkeys(why.code for record in doubted for why in record.reasons if why.severity == "suspect")
    if not doubted:
        return ""
    return f" {len(doubted)} of {len(measured)} repeats of {benchmark} mode are SUSPECT ({', '.join(codes)})."


def _curve(line: Line) -> dict[int, tuple[float, float]]:
    """Return (speed of one user, output throughput) of a line by rising concurrency, where both are known."""
    speeds, totals = line.means(USER_SPEED), line.means(OUTPUT_THROUGHPUT)
    return {concurrency: (speeds[concurrency], totals[concurrency]) for concurrency in speeds if concurrency in totals}


def _is_earned(lines: Sequence[Line], key: str) -> bool:
    """Return whether every repeat of `lines` has the samples that the percentile of `key` needs."""
    percentile = percentile_of(key)
    counts = [int(count) for line in lines for count in line.repeats["completed"].dropna()]
    return percentile is None or all(is_earned(count, percentile) for count in counts)


def _concurrencies(lines: Sequence[Line]) -> set[int]:
    return {int(value) for line in lines for value in line.repeats[CONCURRENCY].unique()}


def _caption(
    run: Run, lines: Sequence[Line], keys: Sequence[str], by: str, note: str, bars: str = "bars one standard deviation"
) -> str:
    """Return the caption: axes with units, which direction is better, repeats a point, what was fixed."""
    metrics = [BY_KEY[key] for key in keys]
    what = ", ".join(metric.label for metric in metrics)
    counts = sorted({spread.count for line in lines for spread in line.points(keys[0]).values()})
    repeats = "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"
    spread = bars if counts and counts[-1] > 1 else "spread unknown"
    sentences = [
        f"{what[0].upper()}{what[1:]} ({metrics[0].unit}, {metrics[0].direction}) by {by}.",
        f"Lines: means; marks: every repeat; {repeats} repeat{'' if repeats == '1' else 's'} a point, {spread}.",
        note,
        f"Fixed: {fixed_text(run.table)}.",
        "Random weights." if run.has_random_weights else "",
    ]
    if run.num_lines > len(run.lines):
        sentences.append(
            f"Drawn are the {len(run.lines)} of {run.num_lines} lines that reach most output tokens per second."
        )
    return " ".join(sentence for sentence in sentences if sentence)
