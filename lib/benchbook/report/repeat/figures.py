"""The figure of one measurement. Each function returns (figure, caption)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchbook.judge.loads import load_text, tokens_text
from benchbook.records.record import Record
from benchbook.report.drawing import canvas, from_zero, panels_below
from benchbook.terms.metrics import request_latencies_s

Raw = Mapping[str, Any]

_WAIT, _STREAM = "#D55E00", "#56B4E9"  # colour-blind safe (Okabe and Ito)
_MAX_BARS = 400
_LEGEND_IN = 0.9  # below the bars, with the name of their axis


def serve_figure(record: Record, raw: Raw) -> tuple[Figure, str]:
    """Draw every request as a bar from its send to its last token: waiting for the first token, then streaming."""
    starts, ttfts = raw["start_times"], raw["ttfts"]
    ends = request_latencies_s(raw)
    order = sorted(range(len(starts)), key=starts.__getitem__)[:_MAX_BARS]
    zero = min(starts, default=0.0)
    panel_in = max(1.6, min(5.0, 0.05 * len(order) + 0.6))
    figure, (axes,) = panels_below(1, panel_in, bottom_in=_LEGEND_IN)
    sent_s = [starts[index] - zero for index in order]
    first_s = [sent + ttfts[index] for sent, index in zip(sent_s, order)]
    last_s = [sent + ends[index] for sent, index in zip(sent_s, order)]
    # The bars of a kind are one patch: one each takes three times as long to draw.
    edges = [number - 0.5 for number in range(len(order) + 1)]
    bars = {"edges": edges, "orientation": "horizontal", "fill": True, "linewidth": 0}
    waiting = {"facecolor": _WAIT, "hatch": "////", "edgecolor": "white", "label": "waiting for the first token"}
    axes.invert_yaxis()
    axes.set_xlabel("Time since the first send (s)")
    axes.set_ylabel("Request, as sent")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if order:
        axes.stairs(first_s, baseline=sent_s, **waiting, **bars)
        axes.stairs(last_s, baseline=first_s, facecolor=_STREAM, label="streaming the answer", **bars)
        figure.legend(loc="lower center", ncols=2, frameon=False)
    cut = f" The first {_MAX_BARS} of {len(starts)}." if len(starts) > _MAX_BARS else ""
    return figure, (
        f"Every request from send to last token (s).{cut} {len(starts)} requests, "
        f"{tokens_text(record)}, {load_text(record)}."
    )


def latency_figure(record: Record, raw: Raw) -> tuple[Figure, str]:
    """Draw the latency of each iteration in order, with the median as a level."""
    latencies = raw["latencies"]
    figure, (axes,) = canvas(1, 1, height_in=3.4)
    axes.plot(range(1, len(latencies) + 1), latencies, marker="o", linestyle="none", color=_WAIT, label="one iteration")
    axes.axhline(raw["percentiles"]["50"], color="0.35", linestyle=":", label="median")
    from_zero(axes)
    axes.set_xlabel("Iteration")
    axes.set_ylabel("Batch latency (s)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure, (
        f"Batch latency (s, lower is better) of each of {len(latencies)} iterations after "
        f"{record.workload['num_iters_warmup']} of warm-up; batch {record.asked.requests}, {tokens_text(record)}."
    )


def throughput_figure(record: Record, raw: Raw) -> tuple[Figure, str]:
    """Draw input, output and total tokens per second as three labelled bars: never to be mixed up."""
    values = record.values
    output, total = values["output_throughput_tok_s"], values["total_throughput_tok_s"]
    bars = {"output": output, "input": total - output, "total": total}
    figure, (axes,) = canvas(1, 1, height_in=2.6)
    drawn = axes.barh(
        list(bars), list(bars.values()), color=[_WAIT, "0.75", _STREAM], hatch=["", "////", ""], edgecolor="white"
    )
    axes.bar_label(drawn, fmt=" {:,.1f}")
    axes.margins(x=0.15)
    axes.grid(axis="y", visible=False)  # it would strike out the labels
    axes.invert_yaxis()
    axes.set_xlabel("Tokens per second")
    return figure, (
        f"Throughput (tok/s, higher is better) of {record.asked.requests} prompts given at once; {tokens_text(record)}."
    )
