"""What a record keeps of its samples: how full the server was, what each GPU drew, who computed on it, energy in joules."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchbook.records.samples import GpuProcess, GpuSummary, ServerSummary, TelemetrySummary
from benchbook.terms.metrics import request_latencies_s

COUNTER = "the card's energy counter"
POWER_AREA = "the area under the power samples, each the mean of about a second before it"

Window = tuple[float, float]


def request_window(telemetry: Mapping[str, Any], raw: Mapping[str, Any]) -> Window | None:
    """Return (first send, last token) in seconds on the samples' clock; None for a result without request times."""
    starts, durations = raw.get("start_times") or [], request_latencies_s(raw)
    if not starts or len(starts) != len(durations):
        return None
    zero_s = telemetry["zero_perf_counter_s"]
    return min(starts) - zero_s, max(start + took for start, took in zip(starts, durations, strict=True)) - zero_s


def telemetry_summary(telemetry: Mapping[str, Any], raw: Mapping[str, Any]) -> TelemetrySummary:
    """Return what a record keeps of its samples; without request times, all samples count as the window."""
    window = request_window(telemetry, raw)
    bounds = window or (float("-inf"), float("inf"))
    gpus = tuple(_gpu_summary(gpu, window, bounds) for gpu in telemetry["gpus"])
    processes = [GpuProcess(**process) for process in telemetry["gpu_processes"]]
    return TelemetrySummary(
        window_s=None if window is None else window[1] - window[0],
        window_epoch_s=None if window is None else tuple(telemetry["epoch_s"] + edge for edge in window),
        server=_server_summary(telemetry.get("server"), bounds),
        gpus=gpus,
        num_gpus=telemetry.get("num_gpus"),
        energy_j=_energy_of_used(gpus, processes, telemetry.get("num_gpus")),
        gpu_processes=_processes(processes, bounds),
        absent=dict(telemetry["absent"]),
        missed_samples=telemetry["missed_samples"],
        sampler_cpu_s=telemetry["sampler_cpu_s"],
    )


def used_gpus(processes: Iterable[GpuProcess]) -> set[int]:
    """Return the GPUs that processes of the host under test were seen on, by index."""
    return {process.gpu for process in processes if process.kind == "ours"}


def energy_j(times_s: Sequence[float], counter_j: Sequence[float | None], window: Window) -> float | None:
    """Return the energy (J) between the window's edges from a running counter, straight lines between its samples.

    None unless samples lie on both sides of the window: what was not bracketed is not guessed.
    """
    edges = [_at(times_s, counter_j, edge) for edge in window]
    return None if None in edges else edges[1] - edges[0]


def integrated_j(times_s: Sequence[float], power_w: Sequence[float | None], window: Window) -> float | None:
    """Return the energy (J) between the window's edges as the area under the power samples; None as in `energy_j`."""
    if any(power is None for power in power_w):
        return None
    total_j, counter_j = 0.0, [0.0]
    for index in range(1, len(times_s)):
        total_j += (times_s[index] - times_s[index - 1]) * (power_w[index] + power_w[index - 1]) / 2
        counter_j.append(total_j)
    return energy_j(times_s, counter_j, window)


def _server_summary(server: Mapping[str, Any] | None, bounds: Window) -> ServerSummary:
    if not server:
        return ServerSummary()
    inside = [bounds[0] <= time_s <= bounds[1] for time_s in server["t_s"]]
    kept = {
        key: [value for value, is_in in zip(values, inside, strict=True) if is_in and value is not None]
        for key, values in server.items()
    }
    return ServerSummary(
        samples=sum(inside),
        mean_running=_mean(kept.get("running")),
        mean_waiting=_mean(kept.get("waiting")),
        max_kv_use_ratio=max(kept.get("kv_use_ratio") or [None]),
        preemptions=_growth(kept.get("preemptions")),
    )


def _gpu_summary(gpu: Mapping[str, Any], window: Window | None, bounds: Window) -> GpuSummary:
    inside = [index for index, time_s in enumerate(gpu["t_s"]) if bounds[0] <= time_s <= bounds[1]]

    def kept(key: str) -> list[float]:
        return [gpu[key][index] for index in inside if gpu[key] is not None and gpu[key][index] is not None]

    def at_work(key: str) -> list[float]:
        busy, throttle, values = gpu["utilisation_pct"], gpu["throttle"], gpu.get(key)
        return [
            values[index]
            for index in inside
            if values and values[index] is not None and not (throttle and throttle[index]) and (not busy or busy[index])
        ]

    columns = zip(gpu["t_s"], gpu.get("memory_used_gib") or (), gpu.get("processes_gib") or ())
    strange_gib = [
        used - known
        for time_s, used, known in columns
        if bounds[0] <= time_s <= bounds[1] and None not in (used, known)
    ]
    energy, source = _energy(gpu, window)
    power_w = kept("power_w")
    throttles = [text.split("+") for text in kept("throttle")]
    names = sorted({name for found in throttles for name in found if name})
    return GpuSummary(
        index=gpu["index"],
        name=gpu["name"],
        samples=len(inside),
        energy_j=energy,
        energy_source=source,
        # Where there is a counter, what it grew by: the driver's power is the mean of the second before.
        mean_power_w=energy / (window[1] - window[0]) if source == COUNTER and energy else _mean(power_w),
        mean_sm_clock_mhz=_mean(kept("sm_clock_mhz")),
        min_sm_clock_mhz=min(kept("sm_clock_mhz") or [None]),
        highest_sm_clock_mhz=gpu.get("highest_sm_clock_mhz"),
        free_sm_clock_mhz=_median(at_work("sm_clock_mhz")),
        clocks_set_share=_mean(at_work("clocks_are_set")),
        max_temperature_c=max(kept("temperature_c") or [None]),
        max_memory_used_gib=max(kept("memory_used_gib") or [None]),
        strange_memory_gib=_median(strange_gib),
        mean_utilisation_pct=_mean(kept("utilisation_pct")),
        throttled_share={name: sum(name in found for found in throttles) / len(throttles) for name in names},
    )


def _energy(gpu: Mapping[str, Any], window: Window | None) -> tuple[float | None, str | None]:
    if window is None:
        return None, None
    if gpu["energy_j"] is not None:
        return energy_j(gpu["t_s"], gpu["energy_j"], window), COUNTER
    if gpu["power_w"] is not None:
        return integrated_j(gpu["t_s"], gpu["power_w"], window), POWER_AREA
    return None, None


def _energy_of_used(gpus: Sequence[GpuSummary], processes: Sequence[GpuProcess], num_gpus: int | None) -> float | None:
    """Return the energy (J) of the GPUs that this host's processes used; None where it is not known which of several.

    Where the driver does not show them, as in many a container, they are on the `num_gpus` that the launch takes.
    """
    known = used_gpus(processes)
    all_used = len(gpus) == (num_gpus or 1)
    used = [gpu.energy_j for gpu in gpus if gpu.index in known or all_used and not known]
    return None if not used or None in used else sum(used)


def _processes(found: Sequence[GpuProcess], bounds: Window) -> tuple[GpuProcess, ...]:
    """Return who computed on the GPUs inside the window.

    A pid that our process table does not have may belong to another container, or be one of ours under the number that
    it has outside of this one: it counts as foreign only where the driver knows ours by the number that we know.
    A stranger that holds a context and computed nothing is idle: told where the driver saw ours compute on that GPU.
    """
    ours = [process for process in found if process.kind == "ours"]
    measured = {process.gpu for process in ours if process.busy_pct}

    def kind(process: GpuProcess) -> str:
        if process.kind != "foreign" and not (process.kind == "unseen" and ours):
            return process.kind
        computed = _overlaps(process.first_busy_s, process.last_busy_s, bounds)
        return "idle" if process.gpu in measured and not computed else "foreign"

    inside = [process for process in found if _overlaps(process.first_s, process.last_s, bounds)]
    return tuple(process.model_copy(update={"kind": kind(process)}) for process in inside)


def _overlaps(first_s: float | None, last_s: float | None, bounds: Window) -> bool:
    return None not in (first_s, last_s) and first_s <= bounds[1] and last_s >= bounds[0]


def _at(times_s: Sequence[float], values: Sequence[float | None], when_s: float) -> float | None:
    """Return the value at `when_s` on the straight line between its neighbours, None outside of the samples."""
    for index in range(1, len(times_s)):
        before_s, after_s = times_s[index - 1], times_s[index]
        if before_s <= when_s <= after_s:
            before, after = values[index - 1], values[index]
            if before is None or after is None:
                return None
            share = (when_s - before_s) / (after_s - before_s) if after_s > before_s else 0.0
            return before + share * (after - before)
    return None


def _mean(values: Sequence[float] | None) -> float | None:
    return statistics.fmean(values) if values else None


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _growth(values: Sequence[float] | None) -> float | None:
    return values[-1] - values[0] if values else None
