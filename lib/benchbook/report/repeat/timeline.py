"""What happened while a case was measured: its samples of server and GPU over time, on the clock of its requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchbook.judge.loads import tokens_text
from benchbook.judge.telemetry_summary import request_window
from benchbook.records.record import Record
from benchbook.records.samples import GpuSummary, TelemetrySummary
from benchbook.report.drawing import from_zero, panels_below

_FIRST, _SECOND = "#0173b2", "#d55e00"  # colour-blind safe; the second is dashed as well
_PANEL_IN, _LEGEND_IN = 1.05, 1.1
_REQUESTS = "requests"
_RARE = {
    "preemptions": "preempted\nso far",
    "prefix_cache_hits": "cached prompt\ntokens so far",
}  # shown where they grow
_MAX_GPUS = 8
_TOLD = ("max_concurrency", "request_rate_rps", "num_prompts", "batch_size")  # in the caption, where they are set
Curve = tuple[str, Sequence[float], Sequence[float]]


def timeline_figure(record: Record, telemetry: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[Figure, str] | None:
    """Draw one panel a quantity, over the seconds since the first send; None where nothing was sampled."""
    window = request_window(telemetry, raw) or (0.0, None)
    panels = [*_server_panels(telemetry.get("server"), window[0]), *_gpu_panels(telemetry["gpus"], window[0])]
    if not panels:
        return None
    figure, all_axes = panels_below(len(panels), _PANEL_IN, right_in=_LEGEND_IN)
    for axes, (label, curves) in zip(all_axes, panels, strict=True):
        for index, (name, times_s, values) in enumerate(curves):
            style = {"color": _SECOND, "linestyle": "--"} if index % 2 else {"color": _FIRST, "linestyle": "-"}
            axes.plot(times_s, values, linewidth=1.5, label=name, **style)
        if window[1] is not None:
            axes.axvspan(0, window[1] - window[0], color="0.5", alpha=0.10, linewidth=0)
        axes.set_ylabel(label, fontsize=9)
        from_zero(axes)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=label == _REQUESTS))
        if len(curves) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
        axes.tick_params(labelbottom=axes is all_axes[-1])
        axes.sharex(all_axes[0])
    all_axes[-1].set_xlim(left=0)  # what was sampled while the client got ready is not shown
    all_axes[-1].set_xlabel("Time since the first send (s)")
    return figure, _caption(record, telemetry, window)


def absent_text(summary: TelemetrySummary) -> list[str]:
    """Return what was not sampled, and why, one sentence each."""
    names = {"server": "The server was not sampled", "gpu": "No GPU was sampled"}
    return [f"{names.get(what, what)}: {why}." for what, why in summary.absent.items()]


def gpu_text(summary: TelemetrySummary) -> list[str]:
    """Return one sentence a GPU: power, clock, temperature, memory, and what lowered its clocks, over the requests."""
    return [_gpu_sentence(gpu) for gpu in summary.gpus or ()]


def _gpu_sentence(gpu: GpuSummary) -> str:
    facts = (
        (gpu.mean_power_w, "{:.0f} W on average"),
        (gpu.mean_sm_clock_mhz, "SM clock {:.0f} MHz on average"),
        (gpu.min_sm_clock_mhz, "{:.0f} MHz at the lowest"),
        (gpu.max_temperature_c, "{:.0f} °C at the hottest"),
        (gpu.max_memory_used_gib, "{:.1f} GiB of memory at most"),
        (gpu.mean_utilisation_pct, "busy {:.0f}% of the time"),
    )
    said = [form.format(value) for value, form in facts if value is not None]
    said += [f"{name} in {share:.0%} of the samples" for name, share in gpu.throttled_share.items()]
    return f"GPU {gpu.index} ({gpu.name}): {', '.join(said) or 'nothing could be read'}."


def _server_panels(server: Mapping[str, Any] | None, zero_s: float) -> list[tuple[str, list[Curve]]]:
    if not server:
        return []
    times_s = [time_s - zero_s for time_s in server["t_s"]]
    panels = []
    held = [(name, times_s, server[name]) for name in ("running", "waiting") if name in server]
    if held:
        panels.append((_REQUESTS, held))
    for key, label in (("generation_tokens", "output\ntok/s"), ("prompt_tokens", "prompt\ntok/s")):
        if key in server and len(times_s) > 1:
            panels.append((label, [(label, *_rate(times_s, server[key]))]))
    if "kv_use_ratio" in server:
        shares = [None if share is None else share * 100 for share in server["kv_use_ratio"]]
        panels.append(("KV cache\nin use (%)", [("KV cache", times_s, shares)]))
    panels += [(label, [(label, times_s, server[key])]) for key, label in _RARE.items() if _grows(server.get(key))]
    return panels


def _grows(counter: Sequence[float | None] | None) -> bool:
    known = [value for value in counter or () if value is not None]
    return bool(known) and known[-1] > known[0]


def _gpu_panels(gpus: Sequence[Mapping[str, Any]], zero_s: float) -> list[tuple[str, list[Curve]]]:
    panels = []
    for key, label in (
        ("power_w", "GPU power\n(W)"),
        ("sm_clock_mhz", "SM clock\n(MHz)"),
        ("temperature_c", "GPU temp.\n(°C)"),
        ("utilisation_pct", "GPU busy\n(%)"),
    ):
        curves = [
            (f"GPU {gpu['index']}", [time_s - zero_s for time_s in gpu["t_s"]], gpu[key])
            for gpu in gpus[:_MAX_GPUS]
            if gpu[key] is not None
        ]
        if curves:
            panels.append((label, curves))
    return panels


def _rate(times_s: Sequence[float], counter: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return the middle of each interval between two samples, and the counter's growth per second in it."""
    known = [(time_s, value) for time_s, value in zip(times_s, counter, strict=True) if value is not None]
    pairs = [(first, second) for first, second in zip(known, known[1:]) if second[0] > first[0]]
    middles = [(first[0] + second[0]) / 2 for first, second in pairs]
    return middles, [(second[1] - first[1]) / (second[0] - first[0]) for first, second in pairs]


def _caption(record: Record, telemetry: Mapping[str, Any], window: tuple[float, float | None]) -> str:
    workload = record.workload
    told = [f"{key} {workload[key]}" for key in _TOLD if workload.get(key)]
    shaded = "Shaded: from the first send to the last token. " if window[1] is not None else ""
    return (
        f"The server and its device over time (s), sampled every {telemetry['period_s'] * 1000:.0f} ms on the clock of "
        f"the requests. {shaded}Rates are growth between two samples. {', '.join([*told, tokens_text(record)])}."
    )
